"""Whether confidence is the share of right decisions: expected calibration error, its bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

BINS = 15  # as Guo et al. 2017 use


@dataclass(frozen=True)
class ConfidenceBin:
    """The n decisions with low < confidence <= high; the first bin has confidence 0, too.

    accuracy and confidence are means over them, None in an empty bin.
    """

    low: float
    high: float
    n: int
    accuracy: Optional[float]
    confidence: Optional[float]


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, and the bins from which it is computed."""

    error: float
    bins: Tuple[ConfidenceBin, ...]


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Calibration:
    """Expected calibration error in bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3: the mean distance
    of accuracy and mean confidence in a bin, weighted by the bin's share of the decisions.

    Args:
        confidence: (N,) floats; rounding may bring them slightly outside [0, 1], they are clipped.
        right: (N,) bool. N > 0.
    """
    confidence = np.clip(np.asarray(confidence, np.float64), 0, 1)
    edges = np.arange(bins + 1) / bins
    number = np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)
    made = tuple(
        _bin(edges[place], edges[place + 1], confidence[number == place], right[number == place])
        for place in range(bins)
    )
    error = sum(
        entry.n * abs(entry.accuracy - entry.confidence)
        for entry in made
        if entry.accuracy is not None and entry.confidence is not None
    )
    return Calibration(float(error) / len(right), made)


def _bin(low: float, high: float, confidence: np.ndarray, right: np.ndarray) -> ConfidenceBin:
    if not len(right):
        return ConfidenceBin(float(low), float(high), 0, None, None)
    return ConfidenceBin(
        float(low), float(high), len(right), float(right.mean()), float(confidence.mean())
    )
