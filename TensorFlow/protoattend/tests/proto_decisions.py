"""Decisions with known outcomes, for tests of metrics and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Sequence

import numpy as np

from protoattend.metrics.decisions import Decisions
from tests.fixtures.packed_arrays import load_either

FIXTURE = (
    Path(__file__).resolve().parents[3]
    / "tests"
    / "fixtures"
    / "protoattend"
    / "protoattend_public"
)


def reference_arrays() -> Dict[str, np.ndarray]:
    """What the reference implementation was given and gave."""
    return load_either(FIXTURE)


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
