"""Explained decisions, for tests of the gallery."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from protoattend.gallery.explained import Explained, Prototype

CLASSES = ("cat", "dog", "owl")


def plain(value: int, side: int = 28, channels: int = 1) -> np.ndarray:
    """An image of one grey."""
    return np.full((side, side, channels), value, np.uint8)


def explained(
    predicted: str,
    label: Optional[str],
    confidence: float,
    name: str = "a.png",
    prototypes: Sequence[Tuple[str, float]] = (("cat", 0.75), ("dog", 0.25)),
    **image: int,
) -> Explained:
    """A decision; prototypes are (label, weight), their images grow darker, their rows count."""
    return Explained(
        name,
        plain(200, **image),
        label,
        predicted,
        confidence,
        tuple(
            Prototype(plain(100 - number, **image), word, weight, f"train row {1000 + number}")
            for number, (word, weight) in enumerate(prototypes)
        ),
    )
