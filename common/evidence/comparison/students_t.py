"""Student's t distribution, as far as intervals need it."""

from __future__ import annotations

import functools
import math

MOST_DEGREES = 200  # from there on the quantile shrinks by less than 0.7 %: kept, a little wide


def two_sided_probability(value: float, degrees: int) -> float:
    """The probability that |t| is at most `value` (Abramowitz & Stegun 26.7.3 and 26.7.4).

    Args:
        value: not negative.
        degrees: of freedom, at least 1.
    """
    angle = math.atan(value / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= cosine * cosine * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


@functools.lru_cache(maxsize=None)
def two_sided_quantile(probability: float, degrees: int) -> float:
    """The value that |t| exceeds with probability 1 - `probability`, by bisection.

    Args:
        probability: between 0 and 1.
        degrees: of freedom, at least 1; more than MOST_DEGREES count as so many.
    """
    degrees = min(degrees, MOST_DEGREES)
    low, high = 0.0, 1.0
    while two_sided_probability(high, degrees) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        below = two_sided_probability(middle, degrees) < probability
        low, high = (middle, high) if below else (low, middle)
    return high
