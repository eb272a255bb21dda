"""From measured times to figures: medians, ratios pair by pair, floors, stated figures scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Sequence, Tuple

STATED_RATE = 440e9  # fp32 convolution rate where the stated figures were taken, operations/s
STATED_TOLERANCE = 0.15


@dataclass(frozen=True)
class Spread:
    """A quantity measured several times."""

    median: float
    low: float
    high: float

    def text(self, digits: int = 1) -> str:
        """Median (low..high)."""
        return "{1:.{0}f} ({2:.{0}f}..{3:.{0}f})".format(digits, self.median, self.low, self.high)


@dataclass(frozen=True)
class Check:
    """A stated figure beside what was measured; in images a second.

    A machine's convolution rate slows large layers alone: what is to be expected here lies between
    the stated figure scaled by that rate and the stated figure as it is.
    """

    stated: float
    scaled: float
    measured: float

    @property
    def deviation(self) -> float:
        """How far the measured figure is outside of what is expected, as a share; 0 inside."""
        low, high = sorted((self.stated, self.scaled))
        return self.measured / min(max(self.measured, low), high) - 1.0

    @property
    def holds(self) -> bool:
        """Whether the measured figure is within the tolerance."""
        return abs(self.deviation) <= STATED_TOLERANCE


def spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest of at least one value."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1])


def images_per_second(images: int, seconds: Sequence[float]) -> Spread:
    """Speed from the times that each took `images` images."""
    return spread([images / time for time in seconds])


def pair_ratios(baseline_seconds: Sequence[float], seconds: Sequence[float]) -> Spread:
    """How many times as fast as the baseline, from times measured next to each other.

    Raises ValueError for lists of unequal length: a time without its partner says nothing.
    """
    if len(baseline_seconds) != len(seconds):
        raise ValueError(f"{len(baseline_seconds)} and {len(seconds)} times make no pairs")
    return spread([slow / fast for slow, fast in zip(baseline_seconds, seconds)])


def floors(
    rates: Mapping[str, float], bandwidth: float, operations: float, moved: Mapping[str, float]
) -> Dict[str, Tuple[float, float]]:
    """Images a second that arithmetic alone and memory traffic alone would allow, per precision."""
    return {name: (rate / operations, bandwidth / moved[name]) for name, rate in rates.items()}
