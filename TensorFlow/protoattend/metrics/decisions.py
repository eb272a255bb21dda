"""The decisions of a network on labelled inputs, as arrays, whichever device made them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Sequence

import numpy as np

from common.core.errors import ZooError

PROTOTYPE_SHARES = (0.5, 0.9, 0.95)  # of a decision; the columns of prototype_counts
# The columns of familiarity, each the larger the more familiar.
FAMILIARITY = ("largest_logit", "key_distance", "value_distance")
WEIGHT_TOLERANCE = 1e-3  # how far weights summed in float32 may be outside [0, 1]


@dataclass(frozen=True)
class Decisions:
    """N decisions among some classes, each with the candidates that weighed most.

    labels: (N,) int. own_logits, mixed_logits: (N, classes), of the encoder alone and of the
    prototypes' mixed values. class_weights: (N, classes), the attention weight summed by the
    candidates' labels. prototype_counts: (N, 3) int, how many prototypes make PROTOTYPE_SHARES of
    the weight. top_candidates: (N, K) int64, rows of the candidate database, heaviest first.
    top_weights: (N, K), their weights. familiarity: (N, 3), of the attention before it is
    normalised: the largest logit, and less the distance of the input's own key and of its own
    value to the nearest candidate's.
    """

    labels: np.ndarray
    own_logits: np.ndarray
    mixed_logits: np.ndarray
    class_weights: np.ndarray
    prototype_counts: np.ndarray
    top_candidates: np.ndarray
    top_weights: np.ndarray
    familiarity: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Decisions:
        """The decisions at these rows (integers, (M,)), in their order."""
        return Decisions(*(getattr(self, field.name)[rows] for field in fields(Decisions)))

    @property
    def predicted(self) -> np.ndarray:
        """The class of the prototypes' mix: (N,) int64."""
        return self.mixed_logits.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """The weight of the prototypes whose label is the predicted class: (N,)."""
        return np.take_along_axis(self.class_weights, self.predicted[:, None], axis=1)[:, 0]

    @property
    def right(self) -> np.ndarray:
        """Whether the predicted class is the label: (N,) bool."""
        return self.predicted == self.labels


def joined(parts: Sequence[Decisions]) -> Decisions:
    """Puts the decisions of several chunks, at least one, after each other."""
    names = [field.name for field in fields(Decisions)]
    return Decisions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def check_decisions(decisions: Decisions) -> None:
    """Checks that metrics of the decisions mean something.

    Raises:
        ZooError: no decision at all, a label that is no class, a value that is not finite, or a
            weight outside [0, 1].
    """
    if not len(decisions):
        raise ZooError(
            "no decisions to evaluate: the split is empty; give one with at least one image"
        )
    labels, classes = decisions.labels, decisions.mixed_logits.shape[1]
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise ZooError(
            f"label {labels[outside[0]]} at row {outside[0]} of the evaluated images is outside "
            f"0..{classes - 1} ({len(outside)} such rows); check the labels or --num_classes"
        )
    for name in ("own_logits", "mixed_logits", "class_weights", "top_weights", "familiarity"):
        bad = np.flatnonzero(~np.isfinite(getattr(decisions, name)).all(axis=1))
        if len(bad):
            raise ZooError(
                f"{name} of row {bad[0]} are not finite ({len(bad)} of {len(decisions)} rows); the "
                "weights of the checkpoint or the precision mode are at fault: try another "
                "checkpoint, or fp32"
            )
    low, high = float(decisions.class_weights.min()), float(decisions.class_weights.max())
    if low < -WEIGHT_TOLERANCE or high > 1 + WEIGHT_TOLERANCE:
        raise ZooError(
            f"class weights reach from {low:g} to {high:g} where 0 to 1 is possible; attention "
            "in a narrow precision is at fault: evaluate in fp32"
        )
