"""The differences over depth: a point per tensor, on a logarithmic scale."""

from __future__ import annotations

import math
from typing import List, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.evidence.divergence.comparing import Difference
from common.evidence.divergence.outcome import Outcome
from common.evidence.figures.colors import PALETTE, QUIET, web_color
from common.evidence.figures.figure import new_figure
from common.evidence.figures.line_chart import finish, legend_name
from common.runs.dump.dump_format import FORWARD, KINDS

SIZE = (960, 480)
EQUAL = 1e-10  # where tensors that are equal to the bit are drawn, at least
_COLORS = {"activation": PALETTE[0], "loss": PALETTE[10], "gradient": PALETTE[1]}
_COLORS["weight"] = PALETTE[4]


def divergence_picture(outcome: Outcome) -> Figure:
    """Draws relative L2 (points) and the largest relative difference (rings) of every tensor.

    The grey line is the tolerance of relative L2, the red line the first divergence. Points of
    tensors that are equal, or smaller than EQUAL, are on the bottom line; those that are not finite
    on the top line.
    """
    found = outcome.differences
    low, high = _range(found)
    figure = new_figure(*SIZE)
    axes = figure.add_subplot()
    axes.set_yscale("log")
    for kind in KINDS:
        _draw([item for item in found if item.kind == kind], axes, kind, low, high)
    for forward in (True, False):
        held = [item for item in found if (item.kind in FORWARD) == forward]
        tolerances = [_within(item.tolerance, low, high) for item in held]
        axes.plot(
            [item.place for item in held],
            tolerances,
            color=web_color(QUIET),
            label="tolerance of relative L2" if forward else None,
        )
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


def _draw(found: Sequence[Difference], axes: Axes, kind: str, low: int, high: int) -> None:
    if not found:
        return
    color, places = web_color(_COLORS[kind]), [item.place for item in found]
    marks = (
        ("relative L2", "relative", color),
        ("largest element", "largest_relative", "none"),
    )
    for told, attribute, filled in marks:
        values = [
            _within(getattr(item, attribute) if item.is_finite else math.inf, low, high)
            for item in found
        ]
        axes.plot(
            places,
            values,
            "o",
            markersize=4.5,
            markerfacecolor=filled,
            markeredgecolor=color,
            markeredgewidth=0.8,
            label=f"{kind}: {told}",
        )


def _range(found: Sequence[Difference]) -> Tuple[int, int]:
    """The decades shown: all finite values and the tolerance, at least two of them."""
    values: List[float] = []
    for item in found:
        values += [item.relative, item.largest_relative, item.tolerance]
    shown = [value for value in values if math.isfinite(value) and value > EQUAL]
    low = math.floor(math.log10(min(shown))) if shown else math.log10(EQUAL)
    high = math.ceil(math.log10(max(shown))) if shown else 0
    return int(low) - 1, max(int(high), int(low) + 1)


def _within(value: float, low: int, high: int) -> float:
    """Where a value is drawn: what is not finite at the top, what is too small at the bottom."""
    return float(np.clip(value, 10.0**low, 10.0**high)) if math.isfinite(value) else 10.0**high
