"""The curves of all compared runs over each other, each with the band of its noise."""

from __future__ import annotations

from typing import Sequence

from matplotlib.figure import Figure

from common.core.errors import UsageError
from common.evidence.comparison.curves import summary_curve
from common.evidence.comparison.runs import Group, network_of
from common.evidence.figures.line_chart import Curve, line_chart


def comparison_picture(groups: Sequence[Group], curve: str) -> Figure:
    """Draws a curve of every run: a mean line, and a band one noise wide on each side.

    Raises:
        UsageError: no run has the curve.
    """
    curves = []
    for group in groups:
        for number, run in enumerate(group.runs, start=1):
            if curve in run.series:
                name = f"{group.label} {number}" if len(group.runs) > 1 else group.label
                found = summary_curve(run.series[curve])
                low, high = found.means - found.noises, found.means + found.noises
                curves.append(Curve(name, found.steps, found.means, low, high))
    if not curves:
        raise UsageError(f"no run has a series {curve!r} to plot; --metric names another")
    networks = sorted({network_of(run) for group in groups for run in group.runs if run.model})
    title = f"{curve.replace('_', ' ')}, band: ± noise of one sample"
    return line_chart(curves, ": ".join(networks + [title]), up=curve.replace("_", " "))
