"""What zoo diverge prints: whose step, by what tolerance, the lines that matter, the verdict."""

from __future__ import annotations

from typing import Dict, List, Sequence, Set

from common.evidence.divergence.comparing import Difference, worst
from common.evidence.divergence.outcome import DIVERGES, INCONCLUSIVE, Outcome
from common.evidence.divergence.tolerance import MAX_FACTOR, SIZE_FACTOR
from common.runs.dump.dump_format import KINDS, Subject

Row = List[str]
AROUND, WORST = 3, 5  # lines before and after the first divergence, lines of the worst
TITLES = ["", "#", "kind", "tensor", "shape", "relative L2", "tolerance", "largest", "relative"]
_LEFT = {"", "kind", "tensor", "shape"}
_MOST_OBSTACLES = 6
_NOISY_GRADIENTS = (
    "the tolerance of gradients is 1 or more: in this arithmetic, on this batch, "
    "they may differ by their own size, and only activations and loss tell"
)


def as_text(outcome: Outcome, every: bool = False) -> str:
    """The comparison for a terminal.

    Args:
        every: all tensors, not only those around the first divergence and the worst.
    """
    lines = [
        f"A: {_about(outcome.labels[0], outcome.a)}",
        f"B: {_about(outcome.labels[1], outcome.b)}",
    ]
    lines += _obstacle_lines(outcome)
    if outcome.differences and (every or not outcome.obstacles):
        lines += [
            f"tolerance of relative L2: {outcome.tolerance.reason}; the largest element: "
            f"{MAX_FACTOR:g} times that",
            "",
        ]
        lines += aligned(TITLES, _rows(outcome.differences, every)) + [""]
        lines += aligned(_KIND_TITLES, _kind_rows(outcome.differences)) + [""]
    notes = list(outcome.notes) + [_NOISY_GRADIENTS] * outcome.tells_nothing_backward
    lines += ["note: " + note for note in notes]
    return "\n".join(lines + [verdict_line(outcome)]) + "\n"


def _about(label: str, subject: Subject) -> str:
    replayed = f", inputs of {subject.replayed_from}" if subject.replayed_from else ""
    return "{}\n   {} {}, step {}, {}, {}, {}{}".format(
        label,
        subject.model,
        subject.task,
        subject.step,
        subject.framework,
        subject.device,
        subject.precision.get("arithmetic", subject.arithmetic),
        replayed,
    )


def _obstacle_lines(outcome: Outcome) -> List[str]:
    if not outcome.obstacles:
        return [
            f"the same computation: all {outcome.inputs} tensors that the step begins "
            "with are equal by "
            "sha256"
        ]
    shown = outcome.obstacles[:_MOST_OBSTACLES]
    more = len(outcome.obstacles) - len(shown)
    return (
        ["", "not the same computation:"]
        + ["  - " + line for line in shown]
        + ([f"  - and {more} more"] if more else [])
    )


def verdict_line(outcome: Outcome) -> str:
    """The verdict with what a user does next, in one line."""
    first = outcome.first
    if outcome.verdict == INCONCLUSIVE:
        return (
            f"{INCONCLUSIVE}: the runs did not compute the same, so no difference tells "
            "of an error; give "
            "run B --dump_from A's folder and otherwise A's flags"
        )
    if outcome.verdict == DIVERGES and first is not None:
        return f"{DIVERGES} first at {first.kind} {first.name} (#{first.place}): {_why(first)}"
    nearest = worst(outcome.differences)
    assert nearest is not None
    return (
        f"{outcome.verdict}: {len(outcome.differences)} tensors; the nearest to it is "
        f"{nearest.kind} {nearest.name} with {nearest.excess:.2g} of its tolerance"
    )


def _why(item: Difference) -> str:
    if not item.is_finite:
        return (
            f"{item.nonfinite_a} values in A and {item.nonfinite_b} in B are infinite or not "
            "a number"
        )
    if item.relative > item.tolerance:
        return f"relative L2 {item.relative:.2e}, tolerance {item.tolerance:.2e}"
    if item.size_ratio > SIZE_FACTOR:
        return (
            f"one of them is {item.size_ratio:.3g} times as large as the other, tolerance "
            f"{SIZE_FACTOR:g}"
        )
    return (
        f"one element is off by {item.largest_relative:.2e} of the largest value, tolerance "
        f"{item.largest_tolerance:.2e}"
    )


def _rows(found: Sequence[Difference], every: bool) -> List[Row]:
    shown = range(len(found)) if every else sorted(_important(found))
    rows: List[Row] = []
    last = -1
    for number in shown:
        if number != last + 1:
            rows.append(["", "…"] + [""] * (len(TITLES) - 2))
        rows.append(_row(found[number]))
        last = number
    if last != len(found) - 1:
        rows.append(["", "…"] + [""] * (len(TITLES) - 2))
    return rows


def _important(found: Sequence[Difference]) -> Set[int]:
    """The tensors around the first outside, and those furthest outside of each kind."""
    first = next((number for number, item in enumerate(found) if not item.is_within), None)
    around = (
        set()
        if first is None
        else set(range(max(0, first - AROUND), min(len(found), first + AROUND + 1)))
    )
    by_excess = sorted(range(len(found)), key=lambda number: -found[number].excess)
    return around | set(by_excess[:WORST]) | ({0} if found else set())


def _row(item: Difference) -> Row:
    mark = "  " if item.is_within else ">>"
    if not item.is_finite:
        return [
            mark,
            str(item.place),
            item.kind,
            item.name,
            _shape(item),
            f"not finite: {item.nonfinite_a} in A, {item.nonfinite_b} in B",
            "",
            "",
            "",
        ]
    return [
        mark,
        str(item.place),
        item.kind,
        item.name,
        _shape(item),
        _number(item.relative),
        _number(item.tolerance),
        _number(item.largest),
        _number(item.largest_relative),
    ]


def _shape(item: Difference) -> str:
    return "x".join(str(size) for size in item.shape) or "1"


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2e}"


_KIND_TITLES = ["kind", "tensors", "outside", "median relative L2", "worst relative L2", "tensor"]


def _kind_rows(found: Sequence[Difference]) -> List[Row]:
    """A line per kind of tensor."""
    rows = []
    for kind in KINDS:
        own = [item for item in found if item.kind == kind]
        if own:
            ordered = sorted(item.relative for item in own)
            furthest = max(own, key=lambda item: item.relative)
            rows.append(
                [
                    kind,
                    str(len(own)),
                    str(sum(1 for item in own if not item.is_within)),
                    _number(ordered[len(ordered) // 2]),
                    _number(furthest.relative),
                    furthest.name,
                ]
            )
    return rows


def aligned(titles: Sequence[str], rows: Sequence[Row]) -> List[str]:
    """Columns under their titles: words to the left, numbers to the right."""
    widths: Dict[int, int] = {}
    for number, title in enumerate(titles):
        widths[number] = max([len(title)] + [len(row[number]) for row in rows])
    return [_line(titles, row, widths) for row in [list(titles), *rows]]


def _line(titles: Sequence[str], row: Row, widths: Dict[int, int]) -> str:
    return "  ".join(
        text.ljust(widths[number]) if titles[number] in _LEFT else text.rjust(widths[number])
        for number, text in enumerate(row)
    ).rstrip()
