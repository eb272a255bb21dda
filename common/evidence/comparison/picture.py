"""The curves of all compared runs over each other, each with the band of its noise."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from common.core.errors import UsageError
from common.evidence.comparison.runs import Group, Run
from common.evidence.comparison.summary_curve import summary_curve
from common.evidence.figures.bands import Band, band_picture


def comparison_picture(groups: Sequence[Group], curve: str) -> np.ndarray:
    """Draws a curve of every run: a mean line, and a band one noise wide on each side.

    Raises:
        UsageError: no run has the curve.
        ZooError: Pillow is missing.
    """
    bands = [
        _band(_name(group, number), run, curve)
        for group in groups
        for number, run in enumerate(group.runs)
        if curve in run.series
    ]
    if not bands:
        raise UsageError(f"no run has a series {curve!r} to plot; --metric names another")
    return band_picture(bands, f"{curve} (band: ± noise of one sample)")


def _name(group: Group, number: int) -> str:
    return f"{group.label} {number + 1}" if len(group.runs) > 1 else group.label


def _band(name: str, run: Run, curve: str) -> Band:
    summary = summary_curve(run.series[curve])
    return Band(
        name,
        summary.steps,
        summary.means - summary.noises,
        summary.means,
        summary.means + summary.noises,
    )
