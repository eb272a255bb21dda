"""What zoo diverge shows: a table with its verdict, JSON, a picture of all differences."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Sequence

import attrs
import numpy as np

from common.core.text import aligned
from common.evidence.divergence.comparing import MAX_FACTOR, SIZE_FACTOR, Difference, Outcome
from common.runs.dump import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1  # of the JSON
AROUND, WORST = 3, 5  # lines before and after the first divergence, lines of the worst
TITLES = ["", "#", "kind", "tensor", "shape", "relative L2", "tolerance", "largest", "relative"]
KIND_TITLES = ["kind", "tensors", "outside", "median relative L2", "worst relative L2", "tensor"]
_EQUAL = 1e-10  # where tensors that are equal to the bit are drawn, at least


def as_text(outcome: Outcome, every: bool = False) -> str:
    """The comparison for a terminal.

    Args:
        every: all tensors, not only those around the first divergence and the worst.
    """
    from common.evidence.html_page.render import environment_of

    found, tables = outcome.differences, []
    if found and (every or not outcome.obstacles):
        tables.append(aligned([TITLES, *_rows(found, every)], (1, 5, 6, 7, 8)))
        tables.append(aligned([KIND_TITLES, *_kind_rows(found)], (1, 2, 3, 4)))
    template = environment_of(Path(__file__).with_name("templates")).get_template("report.txt")
    return template.render(
        outcome=outcome,
        tables=tables,
        notes=list(notes(outcome)),
        max_factor=MAX_FACTOR,
        size_factor=SIZE_FACTOR,
    )


def notes(outcome: Outcome) -> Iterator[str]:
    """What a reader should know besides."""
    one, other = outcome.a.subject, outcome.b.subject
    if one.step != other.step:
        yield f"A's step is {one.step}, B's {other.step}"
    if one.world_size > 1:
        yield (
            f"gradients are means over {one.world_size} ranks, and the dumps hold rank 0's batch "
            "alone: that the other ranks had equal batches is not checked"
        )
    parts = [entry for entry in outcome.a.index.tensors if entry.stored != entry.shape]
    if parts:
        yield f"of {len(parts)} large activations only the first samples are stored"
    if any(item.tolerance >= 1 for item in outcome.differences):
        yield (
            "the tolerance of gradients is 1 or more: in this arithmetic, on this batch, they may "
            "differ by their own size, and only activations and loss tell"
        )


def _rows(found: Sequence[Difference], every: bool) -> List[List[str]]:
    """A line for each tensor that is shown, and one for each gap.

    Shown are the first, those around the first outside, and those furthest outside.
    """
    numbers = range(len(found))
    first = next((number for number in numbers if not found[number].is_within), None)
    around = () if first is None else numbers[max(0, first - AROUND) : first + AROUND + 1]
    furthest = sorted(numbers, key=lambda number: -found[number].excess)[:WORST]
    rows: List[List[str]] = []
    last = -1
    for number in numbers if every else sorted({0, *around, *furthest}):
        rows += [["", "…"]] * (number != last + 1) + [_row(found[number])]
        last = number
    return rows + [["", "…"]] * (last != len(found) - 1)


def _row(item: Difference) -> List[str]:
    shape = "x".join(str(size) for size in item.shape) or "1"
    head = ["  " if item.is_within else ">>", str(item.place), item.kind, item.name, shape]
    if not item.is_finite:
        return [*head, f"not finite: {item.nonfinite_a} in A, {item.nonfinite_b} in B"]
    values = (item.relative, item.tolerance, item.largest, item.largest_relative)
    return [*head, *map(_number, values)]


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2e}"


def _kind_rows(found: Sequence[Difference]) -> Iterator[List[str]]:
    for kind in KINDS:
        own = sorted((one for one in found if one.kind == kind), key=lambda one: one.relative)
        if own:
            outside = sum(not item.is_within for item in own)
            told = [_number(item.relative) for item in (own[len(own) // 2], own[-1])]
            yield [kind, str(len(own)), str(outside), *told, own[-1].name]


def as_json(outcome: Outcome) -> Dict[str, Any]:
    """The comparison as dictionaries and numbers; null where there is none."""
    items = [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in {**attrs.asdict(item), "within": item.is_within}.items()
            if name != "excess"
        }
        for item in outcome.differences
    ]
    factors = {"largest_factor": MAX_FACTOR, "size_factor": SIZE_FACTOR}
    sides = {
        name: {**dataclasses.asdict(dump.subject), "folder": str(dump.folder)}
        for name, dump in (("a", outcome.a), ("b", outcome.b))
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": outcome.verdict,
        **sides,
        "tolerance": {**attrs.asdict(outcome.tolerance), **factors},
        "inputs": len(outcome.a.index.inputs),
        "obstacles": outcome.obstacles,
        "notes": list(notes(outcome)),
        "first": next((item for item in items if not item["within"]), None),
        "tensors": items,
    }


def picture(outcome: Outcome) -> Figure:
    """Draws by how much each tensor differs, the tolerance, and the first divergence.

    Tensors that are equal, or nearly, are on the bottom line; those that are not finite on the top.
    """
    from common.evidence.figures.line_chart import Curve, line_chart

    found = outcome.differences
    shown = [value for one in found for value in (one.relative, one.tolerance) if value > _EQUAL]
    low, high = min([*shown, 0.1]) / 10, 10 * max([*filter(math.isfinite, shown), 1.0])

    def curve(name: str, items: Sequence[Difference], values: Sequence[float]) -> Curve:
        finite = np.nan_to_num(values, nan=high, posinf=high)
        return Curve(name, [one.place for one in items], np.clip(finite, low, high))

    curves = []
    for kind in KINDS:
        own = [item for item in found if item.kind == kind]
        if own:
            values = [one.relative if one.is_finite else math.inf for one in own]
            curves.append(curve(f"{kind}: relative L2", own, values))
    largest = [one.largest_relative if one.is_finite else math.inf for one in found]
    curves.append(curve("largest element", found, largest))
    curves.append(curve("tolerance of relative L2", found, [one.tolerance for one in found]))
    if outcome.first is not None:
        name = f"first divergence: {outcome.first.kind} {outcome.first.name}"
        curves.append(Curve(name, [outcome.first.place] * 2, [low, high]))
    return line_chart(
        curves,
        f"{outcome.verdict}: one step of B against A, tensor by tensor",
        up="difference of B from A, relative",
        across="tensors in execution order",
        logarithmic=True,
        limits=(low / 1.4, 1.4 * high),
    )
