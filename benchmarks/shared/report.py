"""What is told of every variant: a row of the table, the checks, the verdict."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from benchmarks.shared.figures import (
    STATED_RATE,
    STATED_TOLERANCE,
    Check,
    Spread,
    images_per_second,
    pair_ratios,
    spread,
)

_LAYOUT = "{:<28} {:>24} {:>20} {:>7} {:>12} {:>9} {:>9}"


class Verdict(enum.IntEnum):
    """A benchmark's exit codes."""

    REACHED = 0
    MISSED = 1
    INCONCLUSIVE = 2


@dataclass(frozen=True)
class Row:
    """One variant beside its baseline.

    Attributes:
        images: of one round.
        answers: one per round: "seconds", "wait_seconds", "peak_memory".
        baseline_seconds: the baseline's time in each round.
        warm_up_seconds: from the process's start to the end of its first steps.
        target: the ratio it is to reach, None where none is set.
        check: the stated figure beside the measured one, None where none is stated.
    """

    name: str
    images: int
    answers: Sequence[Mapping[str, Any]]
    baseline_seconds: Sequence[float]
    warm_up_seconds: float
    target: Optional[float]
    check: Optional[Check]

    @property
    def seconds(self) -> List[float]:
        """The time of each round."""
        return [answer["seconds"] for answer in self.answers]

    @property
    def speed(self) -> Spread:
        """Images a second."""
        return images_per_second(self.images, self.seconds)

    @property
    def ratio(self) -> Spread:
        """Its speed over the baseline's, pair by pair."""
        return pair_ratios(self.baseline_seconds, self.seconds)

    @property
    def wait(self) -> Spread:
        """The share of each round spent waiting for batches."""
        return spread([answer["wait_seconds"] / answer["seconds"] for answer in self.answers])

    @property
    def peak_memory(self) -> float:
        """Bytes, after the last round."""
        return float(self.answers[-1]["peak_memory"])


def verdict(rows: Sequence[Row]) -> Verdict:
    """Whether the set ratios are reached; INCONCLUSIVE where that can't be told.

    That is where the first row, the baseline, has no stated figure or is off it, and where no
    ratio is set.
    """
    check = rows[0].check
    wanted = [row for row in rows if row.target is not None]
    if check is None or not check.holds or not wanted:
        return Verdict.INCONCLUSIVE
    missed = [row for row in wanted if row.target is not None and row.ratio.median < row.target]
    return Verdict.MISSED if missed else Verdict.REACHED


def table(rows: Sequence[Row]) -> List[str]:
    """The rows as lines of text, under a heading."""
    lines = [
        _LAYOUT.format(
            "variant", "images/s", "ratio, by pairs", "target", "data wait", "memory", "warm-up"
        )
    ]
    return lines + [
        _LAYOUT.format(
            row.name,
            row.speed.text(_digits(row.speed.median)),
            row.ratio.text(2),
            "" if row.target is None else f"{row.target:.2f}",
            f"{100 * row.wait.median:.2f} %",
            f"{row.peak_memory / 1e6:.0f} MB",
            f"{row.warm_up_seconds:.1f} s",
        )
        for row in rows
    ]


def _digits(speed: float) -> int:
    return 1 if speed >= 10 else 3


def check_lines(rows: Sequence[Row], rate: float) -> List[str]:
    """The stated figures beside the measured ones; `rate`: fp32 convolutions, operations/s."""
    lines = [
        _check_line(row.name, row.check, rate / STATED_RATE)
        for row in rows
        if row.check is not None
    ]
    return lines or ["no stated figure for this device and batch size: the baseline is unchecked"]


def _check_line(name: str, check: Check, factor: float) -> str:
    stated, scaled = (
        "{:.{}f}".format(speed, digits)
        for speed, digits in (
            (check.stated, 0 if check.stated >= 10 else 2),
            (check.scaled, 1 if check.scaled >= 10 else 2),
        )
    )
    return (
        "{}: stated {} images/s at {:.0f} GFLOP/s, scaled by {:.2f} to {}; measured {:+.0%} "
        "beyond these ({} {:.0%})".format(
            name,
            stated,
            STATED_RATE / 1e9,
            factor,
            scaled,
            check.deviation,
            "within" if check.holds else "NOT within",
            STATED_TOLERANCE,
        )
    )


def floor_lines(
    both: Mapping[str, Tuple[float, float]], operations: float, moved: Mapping[str, float]
) -> List[str]:
    """The floors of figures.floors with what they come from, for one image."""
    return [
        "floor in {}: {:.{}f} images/s by operations ({:.2f} GFLOP an image), {:.1f} by bytes "
        "({:.1f} MB an image, each layer reading and writing memory once a pass)".format(
            name,
            by_operations,
            1 if by_operations >= 10 else 3,
            operations / 1e9,
            by_bytes,
            moved[name] / 1e6,
        )
        for name, (by_operations, by_bytes) in both.items()
    ]


def row_json(row: Row) -> Dict[str, Any]:
    """One row, for programs."""
    return {
        "images_per_second": asdict(row.speed),
        "ratio": asdict(row.ratio),
        "target": row.target,
        "data_wait_share": asdict(row.wait),
        "peak_memory_bytes": row.peak_memory,
        "warm_up_seconds": row.warm_up_seconds,
        "seconds": row.seconds,
        "stated": None
        if row.check is None
        else dict(asdict(row.check), deviation=row.check.deviation, holds=row.check.holds),
    }
