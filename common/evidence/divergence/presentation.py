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
from common.runs.dump import ACTIVATION, FORWARD, GRADIENT, KINDS, LOSS, WEIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1  # of the JSON
AROUND, WORST = 3, 5  # lines before and after the first divergence, lines of the worst
TITLES = ["", "#", "kind", "tensor", "shape", "relative L2", "tolerance", "largest", "relative"]
KIND_TITLES = ["kind", "tensors", "outside", "median relative L2", "worst relative L2", "tensor"]
_SIZE = (960, 480)  # of the picture
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
    """Draws relative L2 (points) and the largest relative difference (rings) of every tensor.

    The grey line is the tolerance of relative L2, the red line the first divergence. Points of
    tensors that are equal, or nearly, are on the bottom line; those that are not finite on the top
    line.
    """
    from common.evidence.figures.colors import PALETTE, QUIET, web_color
    from common.evidence.figures.figure import new_figure
    from common.evidence.figures.line_chart import finish, legend_name

    colors = {ACTIVATION: PALETTE[0], LOSS: PALETTE[10], GRADIENT: PALETTE[1], WEIGHT: PALETTE[4]}
    found = outcome.differences
    values = [(one.relative, one.largest_relative, one.tolerance) for one in found]
    shown = [value for row in values for value in row if _EQUAL < value < math.inf]
    low = math.floor(math.log10(min(shown or [_EQUAL]))) - 1
    high = max(math.ceil(math.log10(max(shown or [1.0]))), low + 2)
    figure = new_figure(*_SIZE)
    axes = figure.add_subplot()
    axes.set_yscale("log")

    def draw(items: Sequence[Difference], attribute: str, *style: str, **named: Any) -> None:
        heights = [
            getattr(one, attribute) if one.is_finite or attribute == "tolerance" else math.inf
            for one in items
        ]
        heights = np.clip(heights, 10.0**low, 10.0**high).tolist()
        axes.plot([one.place for one in items], heights, *style, **named)

    for kind in KINDS:
        own, color = [item for item in found if item.kind == kind], web_color(colors[kind])
        style = {"markersize": 4.5, "markeredgecolor": color, "markeredgewidth": 0.8}
        measures = (("relative", "relative L2", color), ("largest_relative", "largest element", ""))
        for attribute, name, filled in measures if own else ():
            name, filled = f"{kind}: {name}", filled or "none"
            draw(own, attribute, "o", markerfacecolor=filled, label=name, **style)
    for forward, label in ((True, "tolerance of relative L2"), (False, None)):
        held = [item for item in found if (item.kind in FORWARD) == forward]
        draw(held, "tolerance", color=web_color(QUIET), label=label)
    if outcome.first is not None:
        name = legend_name(f"first divergence: {outcome.first.kind} {outcome.first.name}")
        axes.axvline(outcome.first.place, color=web_color(PALETTE[2]), label=name)
    axes.set_xlim(-0.02 * max(len(found), 1), 1.02 * max(len(found), 1))
    axes.set_ylim(0.7 * 10.0**low, 1.4 * 10.0**high)
    ticks = range(low, high + 1, max(1, (high - low) // 6))
    axes.set_yticks([10.0**tick for tick in ticks])
    axes.set_yticklabels(["equal"] + [f"1e{tick}" for tick in ticks[1:]])
    axes.minorticks_off()
    axes.set_xlabel("tensors in execution order")
    axes.set_ylabel("difference of B from A, relative (log scale)")
    finish(figure, axes, f"{outcome.verdict}: one step of B against A, tensor by tensor")
    return figure
