"""The difference of two samples' means where their spreads may differ."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Sequence


@dataclass(frozen=True)
class WelchDifference:
    """A difference of means.

    Attributes:
        value: second - first.
        standard_error: 0 where neither sample has any spread.
        degrees: of freedom, at least 1.
    """

    value: float
    standard_error: float
    degrees: int


def welch(first: Sequence[float], second: Sequence[float]) -> WelchDifference:
    """second - first in the mean (Welch, Biometrika 34, 1947).

    Args:
        first, second: at least two values each.
    """
    shares = [statistics.variance(values) / len(values) for values in (first, second)]
    total = sum(shares)
    value = statistics.mean(second) - statistics.mean(first)
    if total == 0:
        return WelchDifference(value, 0.0, 1)
    degrees = total**2 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (first, second))
    )
    return WelchDifference(value, math.sqrt(total), max(1, int(degrees)))
