"""When a run reached a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

import numpy as np

from common.evidence.comparison.alignment import GAP, usual_distance
from common.evidence.logs.series import Series

TARGET_SAMPLES = 10  # values whose mean has to reach a target


@dataclass(frozen=True)
class Reached:
    """The first step at which a target was reached; seconds None where no clock told."""

    step: int
    seconds: Optional[float]


def time_to_target(
    series: Mapping[str, Series], name: str, target: float, higher_is_better: bool, samples: int
) -> Optional[Reached]:
    """When the mean of the last `samples` values first reached the target; None if never.

    A mean, since the luckiest of many noisy values is early. Where part of a log is missing the
    mean starts anew.
    """
    curve = series[name]
    means = trailing_means(curve.steps, curve.values, samples)
    met = np.flatnonzero(means >= target if higher_is_better else means <= target)
    if not len(met):
        return None
    step = int(curve.steps[met[0]])
    return Reached(step, seconds_at(series, step))


def trailing_means(steps: np.ndarray, values: np.ndarray, samples: int) -> np.ndarray:
    """The mean of each value and the `samples` - 1 before it, nan where there are fewer: (N,)."""
    means = np.full(len(values), np.nan)
    breaks = np.flatnonzero(np.diff(steps) > GAP * usual_distance(steps)) + 1
    for part in np.split(np.arange(len(values)), breaks):
        if len(part) >= samples:
            means[part[samples - 1 :]] = np.convolve(
                values[part], np.full(samples, 1 / samples), mode="valid"
            )
    return means


def seconds_at(series: Mapping[str, Series], step: int) -> Optional[float]:
    """The training time until the end of a step, pauses between restarts left out."""
    if "elapsed_seconds" in series:
        elapsed = series["elapsed_seconds"]
        gains = np.diff(elapsed.values, prepend=0.0)
        gains = np.where(gains < 0, elapsed.values, gains)  # a restart begins at zero again
        before = elapsed.steps <= step
        return float(gains[before].sum()) if before.any() else None
    if "step_seconds" in series:
        each = series["step_seconds"]
        return float(each.values[each.steps <= step].sum())
    return None
