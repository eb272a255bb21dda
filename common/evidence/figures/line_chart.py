"""Curves over training steps, for example, with bands around them."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from common.evidence.figures.colors import HAIRLINE, palette_color, web_color
from common.evidence.figures.figure import new_figure

SIZE = (960, 480)  # pixels
LOGARITHMIC_FROM = 20.0  # times the smallest value
LONGEST_NAME = 60

Numbers = Union[Sequence[float], np.ndarray]


class Curve(NamedTuple):
    """A line: its name, its values at places of the axis across, and a band around them.

    All arrays have one length; nan in `values` makes a gap, a value alone is a point.
    """

    name: str
    across: Numbers
    values: Numbers
    low: Optional[Numbers] = None
    high: Optional[Numbers] = None


def line_chart(
    curves: Sequence[Curve],
    title: str,
    up: str,
    across: str = "step",
    logarithmic: Optional[bool] = None,
    limits: Optional[Tuple[float, float]] = None,
) -> Figure:
    """Draws curves in the palette's colours, in their order.

    Args:
        up, across: the titles of the axes, with their units.
        logarithmic: whether the axis upwards is; default: where the values are far apart.
        limits: the lowest and highest value drawn; default: what the curves need.
    """
    figure = new_figure(*SIZE)
    axes = figure.add_subplot()
    for number, curve in enumerate(curves):
        _draw(axes, curve, web_color(palette_color(number)))
    if is_logarithmic([curve.values for curve in curves]) if logarithmic is None else logarithmic:
        axes.set_yscale("log")
        up = f"{up} (log scale)"
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if limits is not None:
        axes.set_ylim(*limits)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    finish(figure, axes, title)
    return figure


def is_logarithmic(rows: Sequence[Numbers]) -> bool:
    """Whether all finite values are positive and further apart than a linear axis can show."""
    values = np.concatenate([np.asarray(row, np.float64) for row in rows] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0 and values.max() > LOGARITHMIC_FROM * values.min())


def finish(figure: Figure, axes: Axes, title: str) -> None:
    """Title, quiet frame and grid, and the legend above the axes, off the data."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    axes.grid(True, color=web_color(HAIRLINE), linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    handles, names = axes.get_legend_handles_labels()
    if handles:
        longest = max(map(len, names))
        axes.legend(
            handles,
            names,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            borderaxespad=0.2,
            ncol=max(1, min(len(names), 4, 100 // (longest + 6))),
            frameon=False,
            fontsize=10,
        )


def _draw(axes: Axes, curve: Curve, color: str) -> None:
    across, values = (np.asarray(row, np.float64) for row in (curve.across, curve.values))
    known = np.isfinite(values)
    alone = known & ~np.append(known, False)[1:] & ~np.append(False, known)[:-1]
    shown, name = np.where(known, values, np.nan), curve.name
    name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    name = name if name and not name.startswith("_") else " " + name  # else matplotlib hides it
    axes.plot(across, shown, color=color, linewidth=1.6, label=name)
    if alone.any():
        axes.plot(across[alone], values[alone], "o", color=color, markersize=4)
    if curve.low is not None and curve.high is not None:
        axes.fill_between(across, curve.low, curve.high, color=color, alpha=0.25, linewidth=0)
