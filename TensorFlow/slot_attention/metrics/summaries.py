"""What a list of values comes to: over images, and over the seeds of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

import numpy as np


@dataclass(frozen=True)
class Summary:
    """A metric over images; mean and standard deviation (population) are of the n counted ones.

    n_left_out: the images whose value is nan, in segmentation those without foreground.
    """

    n: int
    n_left_out: int
    mean: float
    std: float


def summary(values: np.ndarray) -> Summary:
    """Sums up one value per image, leaving out nan; without any value mean and std are nan."""
    values = np.asarray(values, np.float64).ravel()
    counted = values[~np.isnan(values)]
    mean, std = (counted.mean(), counted.std()) if len(counted) else (np.nan, np.nan)
    return Summary(len(counted), len(values) - len(counted), float(mean), float(std))


@dataclass(frozen=True)
class SeedSummary:
    """One score per seed: how many reached the threshold, and the median of all."""

    threshold: float
    n: int
    n_succeeded: int
    median: float
    failed_seeds: Tuple[int, ...]


def summary_over_seeds(scores: Mapping[int, float], threshold: float) -> SeedSummary:
    """Counts the seeds whose score is at least the threshold; a nan score is a failed seed.

    The median takes nan as lower than all. Without seeds it is nan.
    """
    failed = tuple(seed for seed, score in sorted(scores.items()) if not score >= threshold)
    ordered = [-np.inf if np.isnan(score) else score for score in scores.values()]
    median = float(np.median(ordered)) if ordered else float("nan")
    return SeedSummary(threshold, len(scores), len(scores) - len(failed), median, failed)
