"""How far two runs of the same step may be apart, by arithmetic and depth."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, Optional

from common.runs.dump.arithmetic import FLOAT32, ROUNDING, coarser
from common.runs.dump.dump_format import ACTIVATION, GRADIENT, LOSS, WEIGHT

# Roundings that the error of a layer amounts to. A float32 layer sums up to a million numbers in
# an order of its device's own; with fewer bits only what goes in and comes out is rounded, for sums
# are kept in float32.
ROUNDINGS_OF_SUMS, ROUNDINGS_OF_ENDS = 256.0, 4.0
# A ReLU or a maximum whose inputs are within the error of each other takes the other way in one of
# the runs. Such are as many, in proportion, as activations differ by; in an L2 norm that counts
# with its square root.
BACKWARD_FACTOR = 5.0
# One element may be off by more than all together.
MAX_FACTOR = 8.0
# Where gradients may differ by their own size, this still tells a loss scale that was not taken
# off, or a gradient that never came.
SIZE_FACTOR = 8.0
# A tensor whose values are this small next to those of its kind is measured against them: the
# gradient of a bias that changes nothing is rounding error and nothing else, and Adam makes a whole
# step of it.
FLOOR: Dict[str, float] = {ACTIVATION: 1e-6, LOSS: 0.0, GRADIENT: 1e-2, WEIGHT: 1e-1}


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """The largest relative L2 difference; that of the largest element is MAX_FACTOR times it.

    Attributes:
        of_one: what the first layer may differ by.
        grows: whether it grows with depth, and backward with what activations differ by.
        reason: why, in words.
    """

    of_one: float
    grows: bool
    reason: str

    def forward(self, depth: int) -> float:
        """After so many layers, from 1: independent errors add up like a random walk."""
        return self.of_one * math.sqrt(depth) if self.grows else self.of_one

    def backward(self, depth: int, seen: float) -> float:
        """Of gradients and updated weights.

        Args:
            depth: activations in all.
            seen: the largest relative difference of an activation.
        """
        least = self.forward(depth)
        return max(least, BACKWARD_FACTOR * math.sqrt(min(seen, least))) if self.grows else least


def tolerance_for(one: str, other: str, given: Optional[float] = None) -> Tolerance:
    """The tolerance between two arithmetics, or the one that was asked for."""
    if given is not None:
        return Tolerance(given, False, f"{given:g} for every tensor (--relative)")
    name = coarser(one, other)
    roundings = ROUNDINGS_OF_SUMS if name == FLOAT32 else ROUNDINGS_OF_ENDS
    of_one = roundings * ROUNDING[name]
    return Tolerance(
        of_one,
        True,
        (
            f"{of_one:.2g} x sqrt(depth) forward ({roundings:g} roundings of {name}, "
            f"{ROUNDING[name]:.2g} each); backward {BACKWARD_FACTOR:g} x sqrt("
            "largest difference of an activation)"
        ),
    )
