"""How far a few runs scatter, and how far one more may lie from them."""

from __future__ import annotations

import math
import statistics
from typing import Sequence, Tuple

from common.evidence.comparison.students_t import two_sided_quantile
from common.evidence.comparison.welch import welch

CONFIDENCE = 0.95  # one-sided, everywhere in the gate


def one_sided_quantile(degrees: int) -> float:
    """The value that t exceeds with probability 1 - CONFIDENCE."""
    return two_sided_quantile(2 * CONFIDENCE - 1, degrees)


def prediction_half_width(stored: Sequence[float], count: int = 1) -> float:
    """How far the mean of `count` further runs may lie from the stored mean, on one side.

    The prediction interval of a normal sample (Hahn and Meeker, Statistical Intervals, 1991,
    section 4.8): t(n - 1) s sqrt(1/count + 1/n).

    Args:
        stored: at least two values.
    """
    deviation = statistics.stdev(stored)
    width = math.sqrt(1.0 / count + 1.0 / len(stored))
    return one_sided_quantile(len(stored) - 1) * deviation * width


def difference_of_means(stored: Sequence[float], measured: Sequence[float]) -> Tuple[float, float]:
    """measured - stored in the mean, and half its one-sided interval (Welch).

    Args:
        stored, measured: at least two values each.
    """
    found = welch(stored, measured)
    return found.value, one_sided_quantile(found.degrees) * found.standard_error


def chance_of_so_few(successes: int, runs: int, stored_successes: int, stored_runs: int) -> float:
    """How probable so few successes are, were both samples of one kind (Fisher's exact test)."""
    total, good = runs + stored_runs, successes + stored_successes
    fewest = max(0, good - stored_runs)
    ways = [
        _choose(runs, count) * _choose(stored_runs, good - count)
        for count in range(fewest, successes + 1)
    ]
    return sum(ways) / _choose(total, good)


def _choose(whole: int, part: int) -> int:
    if part < 0 or part > whole:
        return 0
    return math.factorial(whole) // (math.factorial(part) * math.factorial(whole - part))
