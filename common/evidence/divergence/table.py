"""What zoo diverge prints: whose step, by what tolerance, the lines that matter, the verdict."""

from __future__ import annotations

import statistics
from typing import List, Sequence

from common.core.text import aligned
from common.evidence.divergence.comparing import (
    DIVERGES,
    INCONCLUSIVE,
    MAX_FACTOR,
    SIZE_FACTOR,
    Difference,
    Outcome,
)
from common.runs.dump.dump_format import KINDS, Subject

Row = List[str]
AROUND, WORST = 3, 5  # lines before and after the first divergence, lines of the worst
TITLES = ["", "#", "kind", "tensor", "shape", "relative L2", "tolerance", "largest", "relative"]
KIND_TITLES = ["kind", "tensors", "outside", "median relative L2", "worst relative L2", "tensor"]
_MOST_OBSTACLES = 6


def as_text(outcome: Outcome, every: bool = False) -> str:
    """The comparison for a terminal.

    Args:
        every: all tensors, not only those around the first divergence and the worst.
    """
    found = outcome.differences
    lines = [
        f"A: {_about(outcome.labels[0], outcome.a)}",
        f"B: {_about(outcome.labels[1], outcome.b)}",
    ]
    if outcome.obstacles:
        shown = list(outcome.obstacles[:_MOST_OBSTACLES])
        if len(outcome.obstacles) > len(shown):
            shown.append(f"and {len(outcome.obstacles) - len(shown)} more")
        lines += ["", "not the same computation:", *("  - " + line for line in shown)]
    else:
        equal = f"all {outcome.inputs} tensors that the step begins with are equal by sha256"
        lines.append(f"the same computation: {equal}")
    if found and (every or not outcome.obstacles):
        lines += [
            f"tolerance of relative L2: {outcome.tolerance.reason}; the largest element: "
            f"{MAX_FACTOR:g} times that",
            "",
            aligned([TITLES, *_rows(found, every)], (1, 5, 6, 7, 8)),
            "",
            aligned([KIND_TITLES, *_kind_rows(found)], (1, 2, 3, 4)),
            "",
        ]
    lines += ["note: " + note for note in outcome.notes]
    if any(item.tolerance >= 1 for item in found):
        lines.append(
            "note: the tolerance of gradients is 1 or more: in this arithmetic, on this batch, "
            "they may differ by their own size, and only activations and loss tell"
        )
    return "\n".join([*lines, _verdict_line(outcome)]) + "\n"


def _about(label: str, subject: Subject) -> str:
    arithmetic = subject.precision.get("arithmetic", subject.arithmetic)
    told = (
        f"{label}\n   {subject.model} {subject.task}, step {subject.step}, {subject.framework}, "
        f"{subject.device}, {arithmetic}"
    )
    return told + (f", inputs of {subject.replayed_from}" if subject.replayed_from else "")


def _verdict_line(outcome: Outcome) -> str:
    """The verdict with what a user does next, in one line."""
    first = outcome.first
    if outcome.verdict == INCONCLUSIVE:
        return (
            f"{INCONCLUSIVE}: the runs did not compute the same, so no difference tells of an "
            "error; give run B --dump_from A's folder and otherwise A's flags"
        )
    if first is not None:
        return f"{DIVERGES} first at {first.kind} {first.name} (#{first.place}): {_why(first)}"
    nearest = max(outcome.differences, key=lambda item: item.excess)
    return (
        f"{outcome.verdict}: {len(outcome.differences)} tensors; the nearest to it is "
        f"{nearest.kind} {nearest.name} with {nearest.excess:.2g} of its tolerance"
    )


def _why(item: Difference) -> str:
    if not item.is_finite:
        counts = f"{item.nonfinite_a} values in A and {item.nonfinite_b} in B"
        return f"{counts} are infinite or not a number"
    if item.relative > item.tolerance:
        return f"relative L2 {item.relative:.2e}, tolerance {item.tolerance:.2e}"
    if item.size_ratio > SIZE_FACTOR:
        times = f"{item.size_ratio:.3g} times as large as the other"
        return f"one of them is {times}, tolerance {SIZE_FACTOR:g}"
    return (
        f"one element is off by {item.largest_relative:.2e} of the largest value, tolerance "
        f"{item.largest_tolerance:.2e}"
    )


def _rows(found: Sequence[Difference], every: bool) -> List[Row]:
    """A line for each tensor that is shown, and one for each gap.

    Shown are the first, those around the first outside, and those furthest outside.
    """
    numbers = range(len(found))
    first = next((number for number in numbers if not found[number].is_within), None)
    around = () if first is None else numbers[max(0, first - AROUND) : first + AROUND + 1]
    furthest = sorted(numbers, key=lambda number: -found[number].excess)[:WORST]
    rows: List[Row] = []
    last = -1
    for number in numbers if every else sorted({0, *around, *furthest}):
        rows += [["", "…"]] * (number != last + 1) + [_row(found[number])]
        last = number
    return rows + [["", "…"]] * (last != len(found) - 1)


def _row(item: Difference) -> Row:
    shape = "x".join(str(size) for size in item.shape) or "1"
    head = ["  " if item.is_within else ">>", str(item.place), item.kind, item.name, shape]
    if not item.is_finite:
        return [*head, f"not finite: {item.nonfinite_a} in A, {item.nonfinite_b} in B"]
    values = (item.relative, item.tolerance, item.largest, item.largest_relative)
    return [*head, *map(_number, values)]


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2e}"


def _kind_rows(found: Sequence[Difference]) -> List[Row]:
    """A line per kind of tensor."""
    rows = []
    for kind in KINDS:
        own = [item for item in found if item.kind == kind]
        if own:
            furthest = max(own, key=lambda item: item.relative)
            middle = statistics.median_high(item.relative for item in own)
            outside = sum(not item.is_within for item in own)
            numbers = [str(len(own)), str(outside), _number(middle), _number(furthest.relative)]
            rows.append([kind, *numbers, furthest.name])
    return rows
