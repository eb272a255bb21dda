"""Curves of runs: brought to the same steps, cut into windows, reduced, timed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import List, Mapping, Optional, Tuple

import numpy as np

from common.evidence.logs.series import Series

GAP = 5  # times the usual distance between steps: a part is missing there
TREND_SAMPLES = 3  # a straight line through fewer leaves no noise
MOST_POINTS = 150
LEAST_STRETCH = 8  # samples, where there are many: fewer tell no noise
TARGET_SAMPLES = 10  # values whose mean has to reach a target


@dataclass(frozen=True)
class AlignedPair:
    """Values of two runs at the steps that both have: three arrays (N,)."""

    steps: np.ndarray
    reference: np.ndarray
    candidate: np.ndarray

    def part(self, chosen: slice) -> AlignedPair:
        """The same pair at some of its steps."""
        return AlignedPair(self.steps[chosen], self.reference[chosen], self.candidate[chosen])


@dataclass(frozen=True)
class SampleAtStep:
    """One logged value: asked-for step, step it was logged at, value."""

    asked: int
    step: int
    value: float


def aligned(reference: Series, candidate: Series) -> AlignedPair:
    """The two series at the steps that both logged."""
    steps, here, there = np.intersect1d(
        reference.steps, candidate.steps, assume_unique=True, return_indices=True
    )
    return AlignedPair(steps, reference.values[here], candidate.values[there])


def usual_distance(steps: np.ndarray) -> int:
    """The median distance between logged steps; 1 where there are fewer than two."""
    return max(int(np.median(np.diff(steps))), 1) if len(steps) > 1 else 1


def window(steps: np.ndarray, end: int, length: int) -> slice:
    """The last `length` samples at or before step `end`, not across a part that is missing.

    Args:
        steps: (N,), ascending.
    """
    stop = int(np.searchsorted(steps, end, side="right"))
    start = max(stop - length, 0)
    gaps = np.flatnonzero(np.diff(steps[start:stop]) > GAP * usual_distance(steps))
    if len(gaps):
        start += int(gaps[-1]) + 1
    return slice(start, stop)


def windows(steps: np.ndarray, length: int, most: int) -> List[slice]:
    """Windows along a curve, without a sample in two of them; the last ends at the last step.

    Args:
        most: how many windows at most, evenly among the samples.
    """
    if not len(steps):
        return []
    count = max(min(most, len(steps) // length), 1)
    ends = [steps[int(round(len(steps) * number / count)) - 1] for number in range(1, count + 1)]
    return [window(steps, int(end), length) for end in ends]


def sample_at(series: Series, step: int) -> Optional[SampleAtStep]:
    """The value logged at a step, or at the nearest one within the usual distance."""
    if not len(series):
        return None
    nearest = int(np.argmin(np.abs(series.steps - step)))
    if abs(int(series.steps[nearest]) - step) > usual_distance(series.steps):
        return None
    return SampleAtStep(step, int(series.steps[nearest]), float(series.values[nearest]))


def neighbours(series: Series, step: int, length: int) -> slice:
    """At most `length` samples around a step, itself among them, not across a missing part."""
    place = int(np.searchsorted(series.steps, step))
    gaps = np.diff(series.steps) > GAP * usual_distance(series.steps)
    edges = [0] + (np.flatnonzero(gaps) + 1).tolist() + [len(series)]
    first = max(edge for edge in edges if edge <= place)
    last = min([edge for edge in edges if edge > place] or [len(series)])
    start = max(min(place - length // 2, last - length), first)
    return slice(start, min(start + length, last))


def without_trend(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values less the straight line that fits them best, plus their mean."""
    if len(values) < TREND_SAMPLES or not np.isfinite(values).all():
        return values
    across = steps - steps.mean()
    slope = float((across * values).sum() / (across * across).sum())
    return np.asarray(values - slope * across)


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
