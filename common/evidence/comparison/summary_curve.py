"""A long noisy series in few points: means of equal stretches, with the noise around them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from common.evidence.comparison.alignment import GAP, usual_distance
from common.evidence.logs.series import Series

MOST_POINTS = 150
LEAST_STRETCH = 8  # samples, where there are many: fewer tell no noise


@dataclass(frozen=True)
class SummaryCurve:
    """Arrays (N,): the middle step, the mean and the noise of each stretch; nan marks a gap."""

    steps: np.ndarray
    means: np.ndarray
    noises: np.ndarray


def summary_curve(series: Series, most: int = MOST_POINTS) -> SummaryCurve:
    """Reduces a series to about `most` points; no stretch reaches across a missing part.

    A stretch without any finite value has the mean nan, as has the gap before a part.
    """
    size = max(int(np.ceil(len(series) / most)), min(LEAST_STRETCH, len(series) // 10), 1)
    breaks = np.flatnonzero(np.diff(series.steps) > GAP * usual_distance(series.steps)) + 1
    points = []
    for number, part in enumerate(np.split(np.arange(len(series)), breaks)):
        if number:
            points.append((float(series.steps[part[0]]), np.nan, np.nan))
        for chunk in np.array_split(part, max(len(part) // size, 1)):
            points.append(_point(series.steps[chunk], series.values[chunk]))
    columns = np.asarray(points, np.float64).reshape(-1, 3).T
    return SummaryCurve(columns[0], columns[1], columns[2])


def _point(steps: np.ndarray, values: np.ndarray) -> Tuple[float, float, float]:
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all nan: the mean is nan, as meant
        return float(steps.mean()), float(np.nanmean(finite)), float(np.nanstd(finite))
