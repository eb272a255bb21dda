"""What a benchmark prints: for each case a table, checks, floors and limits; the verdict."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from benchmarks.shared.figures import (
    STATED_RATE,
    STATED_TOLERANCE,
    Check,
    Spread,
    floors,
    images_per_second,
    pair_ratios,
    spread,
)
from benchmarks.shared.harness import BASELINE, Measurements

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


def rows_of(found: Measurements) -> List[Row]:
    """Every variant with its baseline, target and check, in the order they ran."""
    images = found.case.images * found.case.steps
    seconds = {
        name: [answer["seconds"] for answer in answers] for name, answers in found.answers.items()
    }
    return [
        Row(
            name,
            images,
            answers,
            seconds[BASELINE],
            found.warm_up_seconds[name],
            found.target(name),
            found.check(name, images_per_second(images, seconds[name]).median),
        )
        for name, answers in found.answers.items()
    ]


def over_stated(found: Measurements) -> Dict[str, float]:
    """Our variants' speed over the figure stated for the framework's first generation.

    Empty on that generation, and where no figure is stated or none is to be reached.
    """
    check = found.check(BASELINE, 1.0, major=1)
    if found.benchmark.later_target is None or found.major == 1 or check is None:
        return {}
    return {
        row.name: row.speed.median / check.scaled for row in rows_of(found) if row.name != BASELINE
    }


def missed_limits(found: Measurements) -> List[str]:
    """What our variants use too much of: waiting time, memory."""
    most, lines = found.benchmark.most_wait, []
    if most is not None:
        lines = [
            f"{row.name}: {row.wait.median:.1%} of a step waits for data, the limit is {most:.0%}"
            for row in rows_of(found)
            if row.name.startswith("ours") and row.wait.median >= most
        ]
    limit = found.benchmark.memory
    used = found.memory.get(limit.variant, 0) if limit and found.device_kind == "cpu" else 0
    if limit is not None and used > limit.most_bytes:
        lines.append(
            f"{limit.variant}: {used / 1e9:.2f} GB at batch {limit.batch_size}, the limit is "
            f"{limit.most_bytes / 1e9:.1f} GB"
        )
    return lines


def verdict_of(found: Measurements) -> Verdict:
    """Whether a case's set ratios are reached and its limits kept.

    INCONCLUSIVE where no ratio is set, and where the baseline has no stated figure or is off it.
    Where later versions are held to the first generation's figure, the fastest of ours counts.
    """
    rows = rows_of(found)
    if missed_limits(found):
        return Verdict.MISSED
    if found.benchmark.later_target is not None and found.major > 1:
        ratios = over_stated(found)
        if not ratios:
            return Verdict.INCONCLUSIVE
        reached = max(ratios.values()) >= found.benchmark.later_target
        return Verdict.REACHED if reached else Verdict.MISSED
    check = rows[0].check
    wanted = [(row.ratio.median, row.target) for row in rows if row.target is not None]
    if check is None or not check.holds or not wanted:
        return Verdict.INCONCLUSIVE
    return Verdict.MISSED if any(ratio < target for ratio, target in wanted) else Verdict.REACHED


def verdict(cases: Sequence[Measurements]) -> Verdict:
    """A missed case decides, then one that can't be told."""
    verdicts = {verdict_of(found) for found in cases}
    return next(
        (worse for worse in (Verdict.MISSED, Verdict.INCONCLUSIVE) if worse in verdicts),
        Verdict.REACHED,
    )


def as_json(cases: Sequence[Measurements]) -> Dict[str, Any]:
    """All figures, for programs; by case where the network has several tasks."""
    if not cases[0].case.name:
        return _case_json(cases[0])
    return {
        "verdict": verdict(cases).name,
        "cases": {found.case.name: _case_json(found) for found in cases},
    }


def _case_json(found: Measurements) -> Dict[str, Any]:
    return {
        "verdict": verdict_of(found).name,
        "missed_limits": missed_limits(found),
        **found.case.flags,
        "steps": found.case.steps,
        "device": found.device_kind,
        "machine": found.machine,
        "over_stated_of_first_generation": over_stated(found),
        "peak_memory_bytes": found.memory,
        "variants": {row.name: row_json(row) for row in rows_of(found)},
        "floors": {
            name: {"operations": both[0], "bytes": both[1]}
            for name, both in _floors_of(found).items()
        },
    }


def _floors_of(found: Measurements) -> Dict[str, Tuple[float, float]]:
    machine = found.machine
    return floors(
        machine["rates"],
        machine["bandwidth"],
        machine["operations_per_image"],
        machine["bytes_per_image"],
    )


def as_text(cases: Sequence[Measurements]) -> str:
    """The whole report, for people."""
    lines = [line for found in cases for line in _case_lines(found)]
    return "\n".join([*lines, f"verdict: {verdict(cases).name}"])


def _case_lines(found: Measurements) -> List[str]:
    rows, machine, name = rows_of(found), found.machine, found.case.name
    return (
        _heading(found)
        + table(rows)
        + ["seconds a step: " + ", ".join(_seconds_text(found, row) for row in rows)]
        + (_later_lines(found) or check_lines(rows, machine["rates"]["fp32"]))
        + floor_lines(
            _floors_of(found), machine["operations_per_image"], machine["bytes_per_image"]
        )
        + _memory_lines(found)
        + missed_limits(found)
        + ([f"{name}: {verdict_of(found).name}", ""] if name else [])
    )


def _seconds_text(found: Measurements, row: Row) -> str:
    return f"{row.name} {found.case.images / row.speed.median:.3f}"


def _heading(found: Measurements) -> List[str]:
    machine, case, framework = found.machine, found.case, found.benchmark.framework
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in machine["rates"].items())
    return [
        f"{case.name + ': ' if case.name else ''}{framework} {machine[framework]}, "
        f"{machine['device']} ({machine['threads']} threads), {case.text} a step, "
        f"{len(found.answers[BASELINE])} rounds of {case.steps} step{'s' * (case.steps != 1)} "
        "each, median (lowest..highest)",
        f"convolutions: {rates}; copying: {machine['bandwidth'] / 1e9:.1f} GB/s",
    ]


def _later_lines(found: Measurements) -> List[str]:
    return [
        f"{name}: {ratio:.2f} of {found.benchmark.framework} 1's stated figure scaled to this "
        f"machine; target {found.benchmark.later_target:.2f}"
        for name, ratio in over_stated(found).items()
    ]


def _memory_lines(found: Measurements) -> List[str]:
    if not found.memory or found.benchmark.memory is None:
        return []
    told = ", ".join(f"{name} {used / 1e9:.2f} GB" for name, used in found.memory.items())
    return [f"peak memory at batch {found.benchmark.memory.batch_size}: {told}"]


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
