"""Curves of runs: brought to the same steps, cut into windows, reduced, timed."""

from __future__ import annotations

import warnings
from typing import List, Mapping, Optional, Tuple

import attrs
import numpy as np

from common.evidence.logs.series import Series

GAP = 5  # times the usual distance between steps: a part is missing there
TREND_SAMPLES = 3  # a straight line through fewer leaves no noise
MOST_POINTS = 150
LEAST_STRETCH = 8  # samples, where there are many: fewer tell no noise
TARGET_SAMPLES = 10  # values whose mean has to reach a target


@attrs.frozen(eq=False)
class AlignedPair:
    """Values of two runs at the steps that both have: three arrays (N,)."""

    steps: np.ndarray
    reference: np.ndarray
    candidate: np.ndarray

    def part(self, chosen: slice) -> AlignedPair:
        """The same pair at some of its steps."""
        return AlignedPair(self.steps[chosen], self.reference[chosen], self.candidate[chosen])


def aligned(reference: Series, candidate: Series) -> AlignedPair:
    """The two series at the steps that both logged."""
    steps, here, there = np.intersect1d(
        reference.steps, candidate.steps, assume_unique=True, return_indices=True
    )
    return AlignedPair(steps, reference.values[here], candidate.values[there])


def usual_distance(steps: np.ndarray) -> int:
    """The median distance between logged steps; 1 where there are fewer than two."""
    return max(int(np.median(np.diff(steps))), 1) if len(steps) > 1 else 1


def whole_parts(steps: np.ndarray) -> List[slice]:
    """The stretches of ascending steps, (N,), between which a part of the log is missing."""
    gaps = np.flatnonzero(np.diff(steps) > GAP * usual_distance(steps)) + 1
    edges = [0, *gaps.tolist(), len(steps)]
    return [slice(first, last) for first, last in zip(edges, edges[1:])]


def window(steps: np.ndarray, end: int, length: int) -> slice:
    """The last `length` samples at or before step `end`, not across a part that is missing."""
    stop = int(np.searchsorted(steps, end, side="right"))
    begun = max(part.start for part in whole_parts(steps) if part.start < max(stop, 1))
    return slice(max(stop - length, begun), stop)


def windows(steps: np.ndarray, length: int, most: int) -> List[slice]:
    """At most `most` windows along a curve, without a common sample; the last ends with it."""
    if not len(steps):
        return []
    count = max(min(most, len(steps) // length), 1)
    ends = [steps[int(round(len(steps) * number / count)) - 1] for number in range(1, count + 1)]
    return [window(steps, int(end), length) for end in ends]


@attrs.frozen
class SampleAtStep:
    """One logged value: asked-for step, step it was logged at, value."""

    asked: int
    step: int
    value: float


def sample_at(series: Series, step: int) -> Optional[SampleAtStep]:
    """The value logged at a step, or at the nearest one within the usual distance."""
    if not len(series):
        return None
    nearest = int(np.argmin(np.abs(series.steps - step)))
    if abs(int(series.steps[nearest]) - step) > usual_distance(series.steps):
        return None
    return SampleAtStep(step, int(series.steps[nearest]), float(series.values[nearest]))


def neighbours(series: Series, step: int, length: int) -> slice:
    """At most `length` samples around a logged step, not across a missing part."""
    place = int(np.searchsorted(series.steps, step))
    (part,) = (part for part in whole_parts(series.steps) if part.start <= place < part.stop)
    start = max(min(place - length // 2, part.stop - length), part.start)
    return slice(start, min(start + length, part.stop))


def without_trend(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values less the straight line that fits them best, plus their mean."""
    if len(values) < TREND_SAMPLES or not np.isfinite(values).all():
        return values
    across = steps - steps.mean()
    slope = float((across * values).sum() / (across * across).sum())
    return np.asarray(values - slope * across)


@attrs.frozen(eq=False)
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
    points: List[Tuple[float, float, float]] = []
    for part in whole_parts(series.steps):
        if part.start:
            points.append((float(series.steps[part.start]), np.nan, np.nan))
        places = np.arange(part.start, part.stop)
        for chunk in np.array_split(places, max(len(places) // size, 1)):
            values = np.where(np.isfinite(series.values[chunk]), series.values[chunk], np.nan)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # all nan: the mean is nan
                mean, noise = float(np.nanmean(values)), float(np.nanstd(values))
            points.append((float(series.steps[chunk].mean()), mean, noise))
    return SummaryCurve(*np.asarray(points, np.float64).reshape(-1, 3).T)


@attrs.frozen
class Reached:
    """The first step at which a target was reached; seconds None where no clock told."""

    step: int
    seconds: Optional[float]


def time_to_target(
    series: Mapping[str, Series],
    name: str,
    target: float,
    higher_is_better: bool,
    samples: int = TARGET_SAMPLES,
) -> Optional[Reached]:
    """When the mean of the last `samples` values first reached the target; None if never.

    A mean, since the luckiest of many noisy values is early. Where part of a log is missing the
    mean starts anew.
    """
    if name not in series:
        return None
    curve = series[name]
    means = np.full(len(curve), np.nan)
    for part in whole_parts(curve.steps):
        if part.stop - part.start >= samples:
            means[part.start + samples - 1 : part.stop] = np.convolve(
                curve.values[part], np.full(samples, 1 / samples), mode="valid"
            )
    met = np.flatnonzero(means >= target if higher_is_better else means <= target)
    if not len(met):
        return None
    step = int(curve.steps[met[0]])
    return Reached(step, seconds_at(series, step))


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
