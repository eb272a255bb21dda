"""A decision with what people want to see of it: the input, its prototypes, its confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy as np


@dataclass(frozen=True)
class Prototype:
    """A candidate that took part in a decision.

    image: uint8 (H, W, C), C 1 or 3. label: its class's name. weight: its share of the decision,
    0 to 1. row: its place in the candidate database.
    """

    image: np.ndarray
    label: str
    weight: float
    row: int


@dataclass(frozen=True)
class Explained:
    """A decision and its prototypes, heaviest first.

    name: the input's, a file name for example. image: uint8 (H, W, C), C 1 or 3. label: the name of
    its true class, None where that is not known. predicted: the name of the class decided for.
    confidence: 0 to 1.
    """

    name: str
    image: np.ndarray
    label: Optional[str]
    predicted: str
    confidence: float
    prototypes: Sequence[Prototype]

    @property
    def right(self) -> Optional[bool]:
        """Whether the decision is right, None where the label is not known."""
        return None if self.label is None else self.label == self.predicted

    @property
    def rest(self) -> float:
        """The weight of the candidates that are not among the prototypes shown, 0 to 1."""
        return min(max(1 - sum(prototype.weight for prototype in self.prototypes), 0.0), 1.0)


def wrong_first(decisions: Sequence[Explained]) -> List[Explained]:
    """Wrong decisions, then those of unknown outcome, then right ones.

    Of the wrong ones the surest comes first, since it misleads most; of the others the least sure.
    """

    def place(decision: Explained) -> tuple:
        if decision.right is False:
            return 0, -decision.confidence
        return 1 + int(decision.right is True), decision.confidence

    return sorted(decisions, key=place)
