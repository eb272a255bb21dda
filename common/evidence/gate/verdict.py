"""The four verdicts, and the findings that they are made from."""

from __future__ import annotations

import dataclasses
import enum
from typing import Iterable, Optional, Sequence, Tuple


class Verdict(enum.Enum):
    """What a gate says; the value is the exit code."""

    PASS = 0
    REGRESS = 1
    INCONCLUSIVE = 2
    INFRA = 3


_WORST_FIRST = (Verdict.REGRESS, Verdict.INFRA, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of a verdict; texts that came from logs lose line breaks and control characters.

    Attributes:
        aspect: what was looked at: accuracy, speed, first batches, …
        verdict: None where something is told but not judged.
        measured, reference: what was found, and against what it was held; "" for nothing.
        rule: how the verdict follows from the two.
    """

    aspect: str
    verdict: Optional[Verdict]
    measured: str
    reference: str
    rule: str

    def __post_init__(self) -> None:
        for name in ("measured", "reference", "rule"):
            text = getattr(self, name)
            shown = "".join(letter if letter.isprintable() else " " for letter in text)
            object.__setattr__(self, name, " ".join(shown.split()))

    @property
    def word(self) -> str:
        """The verdict's name, or that there is none."""
        return "told" if self.verdict is None else self.verdict.name

    @property
    def line(self) -> str:
        """The finding in one line."""
        parts = [self.measured, self.reference and "against " + self.reference, self.rule]
        return f"{self.aspect}: " + "; ".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True)
class CaseReport:
    """What was found of one case.

    Attributes:
        name: model/task case.
        setting: device and framework, "" where no run tells.
        runs: the folders or records that were judged.
        seconds: that the runs took; None where the gate has not run them itself.
    """

    name: str
    setting: str
    runs: Tuple[str, ...]
    findings: Tuple[Finding, ...]
    seconds: Optional[float] = None

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings; nothing that was judged is INCONCLUSIVE, never a pass."""
        return worst(finding.verdict for finding in self.findings)


def worst(verdicts: Iterable[Optional[Verdict]]) -> Verdict:
    """REGRESS before INFRA before INCONCLUSIVE before PASS; INCONCLUSIVE where there is none."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), Verdict.INCONCLUSIVE)


def overall(reports: Sequence[CaseReport]) -> Verdict:
    """The verdict on all cases."""
    return worst(report.verdict for report in reports)
