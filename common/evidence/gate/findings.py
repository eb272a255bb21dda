"""The four verdicts, the findings behind them, and both as text, JSON, Markdown and XML."""

from __future__ import annotations

import collections
import enum
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

import attrs

from common.cards.model_card import WHAT_TIERS_ARE
from common.core.text import shortened
from common.runs.tables import cell

SCHEMA_VERSION = 1  # of the JSON
LONGEST_TEXT = 2000
TEXT, MARKDOWN, JUNIT = "report.txt", "report.md", "junit.xml"  # templates


class Verdict(enum.Enum):
    """What a gate says; the value is the exit code."""

    PASS = 0
    REGRESS = 1
    INCONCLUSIVE = 2
    INFRA = 3


_WORST_FIRST = (Verdict.REGRESS, Verdict.INFRA, Verdict.INCONCLUSIVE, Verdict.PASS)


def _printable(text: str) -> str:
    """A text that came from a log, in one line that any terminal and XML can take."""
    return shortened(text, LONGEST_TEXT)


@attrs.frozen
class Finding:
    """One line of a verdict.

    Attributes:
        aspect: what was looked at: accuracy, speed, first batches, …
        verdict: None where something is told but not judged.
        measured, reference: what was found, and against what it was held; "" for nothing.
        rule: how the verdict follows from the two.
    """

    aspect: str = attrs.field(converter=_printable)
    verdict: Optional[Verdict]
    measured: str = attrs.field(converter=_printable)
    reference: str = attrs.field(converter=_printable)
    rule: str = attrs.field(converter=_printable)

    @property
    def word(self) -> str:
        """The verdict's name, or that there is none."""
        return "told" if self.verdict is None else self.verdict.name

    @property
    def line(self) -> str:
        """The finding in one line."""
        parts = [self.measured, self.reference and "against " + self.reference, self.rule]
        return f"{self.aspect}: " + "; ".join(part for part in parts if part)


@attrs.frozen
class CaseReport:
    """What was found of one case.

    Attributes:
        name: model/task case.
        setting: device and framework, "" where no run tells.
        runs: the folders or records that were judged.
        seconds: that the runs took; None where the gate has not run them itself.
    """

    name: str = attrs.field(converter=_printable)
    setting: str
    runs: Tuple[str, ...]
    findings: Tuple[Finding, ...]
    seconds: Optional[float] = None

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings; nothing that was judged is INCONCLUSIVE, never a pass."""
        return worst(finding.verdict for finding in self.findings)

    @property
    def headline(self) -> str:
        """Name, verdict, setting and time."""
        seconds = "" if self.seconds is None else f"{self.seconds:.0f} s"
        told = ", ".join(part for part in (self.setting, seconds) if part)
        return f"{self.name}: {self.verdict.name}" + (f" ({told})" if told else "")


def worst(verdicts: Iterable[Optional[Verdict]]) -> Verdict:
    """REGRESS before INFRA before INCONCLUSIVE before PASS; INCONCLUSIVE where there is none."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), Verdict.INCONCLUSIVE)


def overall(reports: Sequence[CaseReport]) -> Verdict:
    """The verdict on all cases."""
    return worst(report.verdict for report in reports)


def summary(reports: Sequence[CaseReport], tier: str) -> str:
    """The last line: the verdict on all, and how many cases came to which."""
    counts = collections.Counter(report.verdict.name for report in reports)
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    seconds = sum(report.seconds or 0.0 for report in reports)
    took = f", {seconds:.0f} s" if seconds else ""
    return f"{overall(reports).name} of tier {tier}: {told or 'nothing was judged'}{took}"


def as_json(reports: Sequence[CaseReport], tier: str) -> Dict[str, Any]:
    """The report as JSON can hold it."""
    verdict = overall(reports)
    return {
        "schema_version": SCHEMA_VERSION,
        "tier": tier,
        "verdict": verdict.name,
        "exit_code": verdict.value,
        "cases": [
            {
                "case": report.name,
                "verdict": report.verdict.name,
                "setting": report.setting,
                "seconds": None if report.seconds is None else round(report.seconds, 1),
                "runs": list(report.runs),
                "findings": [dict(attrs.asdict(one), verdict=one.word) for one in report.findings],
            }
            for report in reports
        ],
    }


def rendered(form: str, reports: Sequence[CaseReport], tier: str) -> str:
    """The report as TEXT for people, MARKDOWN for a pull request, or JUNIT.

    In JUnit XML REGRESS is a failure; what could not be judged is an error: no reader may take it
    for a pass.
    """
    from common.evidence.html_page.render import environment_of

    environment = environment_of(Path(__file__).with_name("templates"))
    environment.filters["cell"] = cell
    return environment.get_template(form).render(
        reports=reports,
        tier=tier,
        what=WHAT_TIERS_ARE[tier],
        overall=overall(reports),
        summary=summary(reports, tier),
    )
