"""The differences over depth: a point per tensor, on a logarithmic scale."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from common.evidence.divergence.comparing import Outcome
from common.evidence.figures.colors import PALETTE, QUIET, web_color
from common.evidence.figures.figure import new_figure
from common.evidence.figures.line_chart import finish, legend_name
from common.runs.dump.dump_format import ACTIVATION, FORWARD, GRADIENT, KINDS, LOSS, WEIGHT

SIZE = (960, 480)
EQUAL = 1e-10  # where tensors that are equal to the bit are drawn, at least
_COLORS = {ACTIVATION: PALETTE[0], LOSS: PALETTE[10], GRADIENT: PALETTE[1], WEIGHT: PALETTE[4]}


def divergence_picture(outcome: Outcome) -> Figure:
    """Draws relative L2 (points) and the largest relative difference (rings) of every tensor.

    The grey line is the tolerance of relative L2, the red line the first divergence. Points of
    tensors that are equal, or smaller than EQUAL, are on the bottom line; those that are not finite
    on the top line.
    """
    found = outcome.differences
    values = [(one.relative, one.largest_relative, one.tolerance) for one in found]
    shown = [value for row in values for value in row if EQUAL < value < math.inf]
    low = math.floor(math.log10(min(shown or [EQUAL]))) - 1
    high = max(math.ceil(math.log10(max(shown or [1.0]))), low + 2)

    def drawn(value: float) -> float:
        return float(np.clip(value, 10.0**low, 10.0**high)) if value < math.inf else 10.0**high

    figure = new_figure(*SIZE)
    axes = figure.add_subplot()
    axes.set_yscale("log")
    for kind in KINDS:
        own = [item for item in found if item.kind == kind]
        for told, attribute in (
            ("relative L2", "relative"),
            ("largest element", "largest_relative"),
        ):
            color = web_color(_COLORS[kind])
            if own:
                axes.plot(
                    [item.place for item in own],
                    [
                        drawn(getattr(item, attribute) if item.is_finite else math.inf)
                        for item in own
                    ],
                    "o",
                    markersize=4.5,
                    markerfacecolor=color if attribute == "relative" else "none",
                    markeredgecolor=color,
                    markeredgewidth=0.8,
                    label=f"{kind}: {told}",
                )
    for forward in (True, False):
        held = [item for item in found if (item.kind in FORWARD) == forward]
        axes.plot(
            [item.place for item in held],
            [drawn(item.tolerance) for item in held],
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
