"""Values with 95 % intervals: means of correlated values, differences of means, Student's t."""

from __future__ import annotations

import math
from typing import Sequence, Tuple

import attrs
import numpy as np
from scipy.special import betaincinv

CONFIDENCE = 0.95
MOST_DEGREES = 200  # from there on t's quantile shrinks by less than 0.7 %: kept, a little wide
LEAST_SAMPLES = 30
LEAST_EFFECTIVE = 10.0  # below, simulated intervals hold the truth too seldom
# Standard errors by which a series' memory has to lie below that of LEAST_EFFECTIVE samples.
SURELY_SHORTER = 1.5
METHOD = (
    "Student's t over the effective number of samples, n / autocorrelation time; the time is "
    "the larger of Geyer's initial monotone sequence (Statistical Science 7, 1992) and of an "
    "AR(1) whose coefficient is corrected for its bias (Kendall, Biometrika 41, 1954)"
)


@attrs.frozen
class Estimate:
    """A value and half the width of its 95 % interval; infinite where nothing can be said."""

    value: float
    half_width: float = math.inf

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.value - self.half_width

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.value + self.half_width

    @property
    def is_known(self) -> bool:
        """Whether value and interval are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.half_width)

    def scaled(self, factor: float) -> Estimate:
        """The same in another unit, or with the other sign."""
        return Estimate(self.value * factor, self.half_width * abs(factor))


UNKNOWN = Estimate(math.nan)


def two_sided_quantile(probability: float, degrees: int) -> float:
    """The value that |t| exceeds with probability 1 - `probability`; at most MOST_DEGREES count."""
    degrees = min(degrees, MOST_DEGREES)
    # scipy 1.7 inverts the incomplete beta function more exactly than t's distribution itself.
    share = float(betaincinv(degrees / 2, 0.5, 1 - probability))
    return math.sqrt(degrees * (1 - share) / share)


def welch(reference: Sequence[float], candidate: Sequence[float]) -> Tuple[float, float, int]:
    """candidate - reference of the means of at least two values each (Biometrika 34, 1947).

    Returns:
        The difference, its variance, and the degrees of freedom, rounded down.
    """
    sides = reference, candidate
    shares = np.array([np.var(values, ddof=1) / len(values) for values in sides])
    parts = float((shares**2 / np.array([len(values) - 1 for values in sides])).sum())
    degrees = max(1, int(float(shares.sum()) ** 2 / parts)) if parts else 1
    return float(np.mean(candidate) - np.mean(reference)), float(shares.sum()), degrees


def between_seeds(reference: Sequence[float], candidate: Sequence[float]) -> Estimate:
    """The difference of means of runs with several seeds.

    Unknown with fewer than two runs on a side, or without any spread on both.
    """
    if min(len(reference), len(candidate)) < 2:
        return UNKNOWN
    value, variance, degrees = welch(reference, candidate)
    # Equal values may leave a spread of rounding errors.
    if variance <= (1e-15 * max(map(abs, (*reference, *candidate)))) ** 2:
        return Estimate(value)
    return Estimate(value, two_sided_quantile(CONFIDENCE, degrees) * math.sqrt(variance))


def between_evaluations(
    reference: float, reference_count: int, candidate: float, candidate_count: int
) -> Estimate:
    """The difference of two means, each over a test set of values between 0 and 1.

    The variance of such values is at most p (1 - p) (Bhatia & Davis, American Mathematical Monthly
    107, 2000). A sample more on each end keeps the interval honest near 0 and 1 (Agresti & Caffo,
    The American Statistician 54, 2000). What other seeds would give is not in it.
    """
    if min(reference_count, candidate_count) < 1:
        return Estimate(candidate - reference)
    variance = 0.0
    for share, count in ((reference, reference_count), (candidate, candidate_count)):
        middle = min(max((share * count + 1) / (count + 2), 0.0), 1.0)
        variance += middle * (1 - middle) / (count + 2)
    quantile = two_sided_quantile(CONFIDENCE, MOST_DEGREES)
    return Estimate(candidate - reference, quantile * math.sqrt(variance))


def difference_of(first: Estimate, second: Estimate) -> Tuple[Estimate, Estimate]:
    """second - first of independent estimates, and second / first - 1."""
    value = second.value - first.value
    absolute = Estimate(value, math.hypot(first.half_width, second.half_width))
    if not first.value or not math.isfinite(first.value):
        return absolute, UNKNOWN
    ratio = second.value / first.value
    width = math.hypot(ratio * first.half_width, second.half_width)
    return absolute, Estimate(ratio - 1, width / abs(first.value))


@attrs.frozen
class MeanOfSeries:
    """The mean of correlated values.

    Attributes:
        noise: the standard deviation of one value.
        autocorrelation_time: in samples, at least 1: so many say as much as one independent value.
    """

    mean: Estimate
    noise: float
    count: int
    autocorrelation_time: float

    @property
    def effective(self) -> float:
        """The number of independent samples that would say as much."""
        return self.count / self.autocorrelation_time


def mean_of_series(values: np.ndarray) -> MeanOfSeries:
    """The mean of values in their order, (N,), and how far it may be off.

    The interval is infinite for fewer than LEAST_SAMPLES values or LEAST_EFFECTIVE effective ones,
    where so few can't be ruled out, and where a value is not finite.
    """
    count = len(values)
    if count < 2 or not np.isfinite(values).all():
        middle = float(values.mean()) if count else math.nan
        return MeanOfSeries(Estimate(middle), math.nan, count, 1.0)
    time, is_long_enough = _memory(values)
    effective = count / time
    # The mean is made of the same values, which hides a share 1 / effective of their variance.
    variance = float(values.var()) / max(1 - 1 / effective, 1 / count)
    width = math.inf
    if effective >= LEAST_EFFECTIVE and is_long_enough:
        width = two_sided_quantile(CONFIDENCE, int(effective) - 1) * math.sqrt(variance / effective)
    return MeanOfSeries(Estimate(float(values.mean()), width), math.sqrt(variance), count, time)


def _memory(values: np.ndarray) -> Tuple[float, bool]:
    """The integrated autocorrelation time, 1 + 2 * the sum of autocorrelations, from 1 to N.

    Returns:
        The time, and whether the series surely holds LEAST_EFFECTIVE independent samples: a short
        one of long memory can look as if it had a short one. So its AR(1) coefficient must lie well
        below the one with which N samples would say as much as LEAST_EFFECTIVE.
    """
    count, centred = len(values), values - values.mean()
    if not np.abs(centred).max() > 1e-12 * np.abs(values).max():  # constant
        return 1.0, count >= LEAST_SAMPLES
    spectrum = np.fft.rfft(centred, 2 * count)
    covariances = np.fft.irfft(spectrum * spectrum.conj(), 2 * count)[:count]
    correlations = covariances / covariances[0]
    coefficient = float(correlations[1]) + (1 + 3 * float(correlations[1])) / count  # less its bias
    limit = (count - LEAST_EFFECTIVE) / (count + LEAST_EFFECTIVE)
    surely = limit - SURELY_SHORTER * math.sqrt((1 - limit**2) / count)
    bounded = min(max(coefficient, 0.0), 1 - 1 / count)
    first_order = (1 + bounded) / (1 - bounded)
    # Geyer: pairs of neighbouring lags while they are positive, none larger than the one before.
    half = count // 2
    pairs = correlations[0 : 2 * half : 2] + correlations[1 : 2 * half : 2]
    ends = np.flatnonzero(pairs <= 0)
    kept = pairs[: ends[0]] if len(ends) else pairs
    summed = float(2 * np.minimum.accumulate(kept).sum() - 1) if len(kept) else 1.0
    time = min(max(summed, first_order, 1.0), float(count))
    return time, count >= LEAST_SAMPLES and coefficient <= surely
