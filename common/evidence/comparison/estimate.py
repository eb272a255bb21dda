"""A value with its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and half the width of its 95 % interval; infinite where nothing can be said."""

    value: float
    half_width: float

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

    def negated(self) -> Estimate:
        """The same with the other sign."""
        return Estimate(-self.value, self.half_width)


UNKNOWN = Estimate(math.nan, math.inf)
