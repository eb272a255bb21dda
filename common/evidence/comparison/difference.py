"""How far a candidate lies from a reference, in a window, at a step, between final figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from common.evidence.comparison.alignment import AlignedPair, without_trend
from common.evidence.comparison.estimate import CONFIDENCE, UNKNOWN, Estimate
from common.evidence.comparison.noise import MeanOfSeries, mean_of_series
from common.evidence.comparison.students_t import two_sided_quantile
from common.evidence.comparison.welch import welch
from common.evidence.logs.series import Series


@dataclass(frozen=True)
class Difference:
    """Candidate less reference, and the share of the reference that this is.

    Attributes:
        samples: how many there are of each; effective: how many independent ones say as much.
    """

    absolute: Estimate
    relative: Estimate
    samples: int
    effective: float


@dataclass(frozen=True)
class WindowComparison:
    """Two runs over the same steps: the mean and noise of each, and their difference."""

    first_step: int
    last_step: int
    reference: MeanOfSeries
    candidate: MeanOfSeries
    difference: Difference


def compare_window(pair: AlignedPair) -> WindowComparison:
    """Compares the means of two runs over the steps of a pair.

    The differences at each step are what is averaged: a trend that both have cancels, and so does
    noise they share. The ratio of the means has its interval by linearisation (Cochran, Sampling
    Techniques, 1977, section 2.11), from one series of residuals. Noise is told around a straight
    line.
    """
    return WindowComparison(
        int(pair.steps[0]),
        int(pair.steps[-1]),
        _level(pair.steps, pair.reference),
        _level(pair.steps, pair.candidate),
        paired_difference(pair.reference, pair.candidate),
    )


def _level(steps: np.ndarray, values: np.ndarray) -> MeanOfSeries:
    return mean_of_series(without_trend(steps, values))


def paired_difference(reference: np.ndarray, candidate: np.ndarray) -> Difference:
    """The mean of candidate - reference, (N,) each, and the ratio of their means less one."""
    gaps = mean_of_series(candidate - reference)
    base = float(reference.mean()) if len(reference) else math.nan
    if not (math.isfinite(base) and math.isfinite(gaps.mean.value)) or base == 0:
        return Difference(gaps.mean, UNKNOWN, gaps.count, gaps.effective)
    share = gaps.mean.value / base
    residuals = mean_of_series((candidate - (1 + share) * reference) / base)
    return Difference(
        gaps.mean,
        Estimate(share, residuals.mean.half_width),
        gaps.count,
        min(gaps.effective, residuals.effective),
    )


def compare_unpaired(reference: Series, candidate: Series) -> WindowComparison:
    """Like compare_window for runs that logged other steps of the same range."""
    first, second = (_level(series.steps, series.values) for series in (reference, candidate))
    effective = min(first.effective, second.effective)
    absolute = _of_two(first.mean, second.mean, 1.0)
    base = first.mean.value
    relative = UNKNOWN
    if base and math.isfinite(base):
        share = second.mean.value / base - 1
        width = _of_two(first.mean, second.mean, 1 + share).half_width
        relative = Estimate(share, width / abs(base))
    steps = np.concatenate([reference.steps, candidate.steps])
    return WindowComparison(
        int(steps.min()),
        int(steps.max()),
        first,
        second,
        Difference(absolute, relative, min(first.count, second.count), effective),
    )


def _of_two(first: Estimate, second: Estimate, weight: float) -> Estimate:
    """second - first of independent estimates; the first's error counts `weight` times."""
    return Estimate(
        second.value - first.value, math.hypot(weight * first.half_width, second.half_width)
    )


def of_one_sample(reference: Estimate, candidate: Estimate) -> Difference:
    """The difference of two single values whose intervals come from the noise around them."""
    absolute = _of_two(reference, candidate, 1.0)
    relative = UNKNOWN
    if reference.value:
        ratio = candidate.value / reference.value
        relative = Estimate(
            ratio - 1, _of_two(reference, candidate, ratio).half_width / abs(reference.value)
        )
    return Difference(absolute, relative, 1, 1.0)


def single_sample(value: float, around: MeanOfSeries) -> Estimate:
    """One value with the interval in which one sample lies, by the noise of its neighbours."""
    if around.count < 3 or not math.isfinite(around.noise):
        return Estimate(value, math.inf)
    degrees = max(int(around.effective) - 2, 1)
    return Estimate(value, two_sided_quantile(CONFIDENCE, degrees) * around.noise)


def between_seeds(reference: Sequence[float], candidate: Sequence[float]) -> Estimate:
    """The difference of means of runs with several seeds (Welch).

    Unknown with fewer than two runs on a side, or without any spread on both.
    """
    if min(len(reference), len(candidate)) < 2:
        return UNKNOWN
    found = welch(reference, candidate)
    if found.standard_error == 0:
        return Estimate(found.value, math.inf)
    return Estimate(
        found.value, two_sided_quantile(CONFIDENCE, found.degrees) * found.standard_error
    )


def between_evaluations(
    reference: float, reference_count: int, candidate: float, candidate_count: int
) -> Estimate:
    """The difference of two means, each over a test set of values between 0 and 1.

    The variance of such values is at most p (1 - p) (Bhatia & Davis, American Mathematical Monthly
    107, 2000), which is that of right and wrong answers. A sample more on each end keeps the
    interval honest near 0 and 1 (Agresti & Caffo, The American Statistician 54, 2000). What other
    seeds would give is not in it.
    """
    if min(reference_count, candidate_count) < 1:
        return Estimate(candidate - reference, math.inf)
    variance = 0.0
    for share, count in ((reference, reference_count), (candidate, candidate_count)):
        middle = min(max((share * count + 1) / (count + 2), 0.0), 1.0)
        variance += middle * (1 - middle) / (count + 2)
    return Estimate(
        candidate - reference, two_sided_quantile(CONFIDENCE, 200) * math.sqrt(variance)
    )
