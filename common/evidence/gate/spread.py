"""How far a few runs scatter, and how far one more may lie from them."""

from __future__ import annotations

import math
import statistics
from typing import Sequence, Tuple

from scipy import stats

CONFIDENCE = 0.95  # one-sided, everywhere in the gate


def one_sided_quantile(degrees: float) -> float:
    """The value that Student's t exceeds with probability 1 - CONFIDENCE."""
    return float(stats.t.ppf(CONFIDENCE, degrees))


def prediction_half_width(stored: Sequence[float], count: int = 1) -> float:
    """How far the mean of `count` further runs may lie from the stored mean, on one side.

    The prediction interval of a normal sample (Hahn and Meeker, Statistical Intervals, 1991,
    section 4.8): t(n - 1) s sqrt(1/count + 1/n).

    Args:
        stored: at least two values.
    """
    width = statistics.stdev(stored) * math.sqrt(1.0 / count + 1.0 / len(stored))
    return one_sided_quantile(len(stored) - 1) * width


def difference_of_means(stored: Sequence[float], measured: Sequence[float]) -> Tuple[float, float]:
    """measured - stored in the mean, and half its one-sided interval (Welch, degrees rounded down).

    Args:
        stored, measured: at least two values each.
    """
    difference = statistics.mean(measured) - statistics.mean(stored)
    shares = [statistics.variance(values) / len(values) for values in (stored, measured)]
    total = sum(shares)
    if total == 0:
        return difference, 0.0
    parts = shares[0] ** 2 / (len(stored) - 1) + shares[1] ** 2 / (len(measured) - 1)
    degrees = max(1, int(total**2 / parts))
    return difference, one_sided_quantile(degrees) * math.sqrt(total)


def chance_of_so_few(successes: int, runs: int, stored_successes: int, stored_runs: int) -> float:
    """How probable so few successes are, were both samples of one kind (Fisher's exact test)."""
    good = successes + stored_successes
    return float(stats.hypergeom.cdf(successes, runs + stored_runs, good, runs))
