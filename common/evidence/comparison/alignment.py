"""Two curves brought to the same steps, and the windows in which they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

import numpy as np

from common.evidence.logs.series import Series

GAP = 5  # times the usual distance between steps: a part is missing there
TREND_SAMPLES = 3  # a straight line through fewer leaves no noise


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
