"""The mean of values that depend on their neighbours, with an interval that knows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from common.evidence.comparison.estimate import CONFIDENCE, Estimate
from common.evidence.comparison.students_t import two_sided_quantile

LEAST_SAMPLES = 30
LEAST_EFFECTIVE = 10.0  # below, simulated intervals hold the truth too seldom
METHOD = (
    "Student's t over the effective number of samples, n / autocorrelation time; the time is "
    "the larger of Geyer's initial monotone sequence (Statistical Science 7, 1992) and of an "
    "AR(1) whose coefficient is corrected for its bias (Kendall, Biometrika 41, 1954)"
)


@dataclass(frozen=True)
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
    and where a value is not finite.
    """
    count = len(values)
    if count < 2 or not np.isfinite(values).all():
        middle = float(values.mean()) if count else math.nan
        return MeanOfSeries(Estimate(middle, math.inf), math.nan, count, 1.0)
    time = autocorrelation_time(values)
    effective = count / time
    # The mean is made of the same values, which hides a share 1 / effective of their variance.
    variance = float(values.var()) / max(1 - 1 / effective, 1 / count)
    width = math.inf
    if count >= LEAST_SAMPLES and effective >= LEAST_EFFECTIVE:
        width = two_sided_quantile(CONFIDENCE, int(effective) - 1) * math.sqrt(variance / effective)
    return MeanOfSeries(Estimate(float(values.mean()), width), math.sqrt(variance), count, time)


def autocorrelation_time(values: np.ndarray) -> float:
    """The integrated autocorrelation time, 1 + 2 * the sum of autocorrelations, between 1 and N."""
    correlations = autocorrelations(values)
    if len(correlations) < 2:
        return 1.0
    longest = max(_initial_sequence_time(correlations), _first_order_time(correlations))
    return float(min(max(longest, 1.0), len(values)))


def autocorrelations(values: np.ndarray) -> np.ndarray:
    """The autocorrelation at each lag 0 … N-1, by the fast Fourier transform; [1] if constant."""
    centred = values - values.mean()
    if not np.abs(centred).max() > 1e-12 * np.abs(values).max():
        return np.ones(1)
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    covariances = np.fft.irfft(spectrum * spectrum.conj(), 2 * len(centred))[: len(centred)]
    return np.asarray(covariances / covariances[0])


def _initial_sequence_time(correlations: np.ndarray) -> float:
    """Sums pairs of neighbouring lags while they are positive, none larger than the one before."""
    half = len(correlations) // 2
    pairs = correlations[0 : 2 * half : 2] + correlations[1 : 2 * half : 2]
    ends = np.flatnonzero(pairs <= 0)
    kept = pairs[: ends[0]] if len(ends) else pairs
    return float(2 * np.minimum.accumulate(kept).sum() - 1) if len(kept) else 1.0


def _first_order_time(correlations: np.ndarray) -> float:
    count = len(correlations)
    coefficient = float(correlations[1]) + (1 + 3 * float(correlations[1])) / count
    coefficient = min(max(coefficient, 0.0), 1 - 1 / count)
    return (1 + coefficient) / (1 - coefficient)
