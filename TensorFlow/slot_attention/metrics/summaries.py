"""What a list of values comes to: over images."""

from __future__ import annotations

from dataclasses import dataclass

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
