"""Decisions with known outcomes, and explained ones, for tests of metrics and of the gallery."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from protoattend.gallery.explained import Explained, Prototype
from protoattend.metrics.decisions import Decisions

CLASSES = ("cat", "dog", "owl")


def decisions(
    labels: Sequence[int],
    predicted: Sequence[int],
    confidence: Sequence[float],
    classes: int = 4,
    counts: Sequence[Sequence[int]] = ((1, 2, 3),),
) -> Decisions:
    """Decisions with these predictions by prototypes; the encoder alone always says class 0.

    The weight that the predicted class leaves is the next class's.
    """
    rows, chosen = np.arange(len(labels)), np.asarray(predicted, np.int64)
    weights = np.zeros((len(labels), classes), np.float32)
    weights[rows, chosen] = confidence
    weights[rows, (chosen + 1) % classes] = 1 - np.asarray(confidence, np.float32)
    own = np.zeros((len(labels), classes), np.float32)
    own[:, 0] = 1
    return Decisions(
        labels=np.asarray(labels, np.int32),
        own_logits=own,
        mixed_logits=np.eye(classes, dtype=np.float32)[chosen],
        class_weights=weights,
        prototype_counts=np.resize(np.asarray(counts, np.int64), (len(labels), 3)),
        top_candidates=np.tile(np.arange(5, dtype=np.int64), (len(labels), 1)),
        top_weights=np.full((len(labels), 5), 0.2, np.float32),
        familiarity=np.tile(np.float32([1, -2, -3]), (len(labels), 1)),
    )


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
    made = tuple(
        Prototype(plain(100 - number, **image), word, weight, f"train row {1000 + number}")
        for number, (word, weight) in enumerate(prototypes)
    )
    return Explained(name, plain(200, **image), label, predicted, confidence, made)
