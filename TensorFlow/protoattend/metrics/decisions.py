"""The decisions of a network on labelled inputs, as arrays, whichever device made them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Dict

import numpy as np

PROTOTYPE_SHARES = (0.5, 0.9, 0.95)  # of a decision; the columns of prototype_counts
# The columns of familiarity, each the larger the more familiar.
FAMILIARITY = ("largest_logit", "key_distance", "value_distance")
# What an exported network gives, and what it means.
OUTPUTS: Dict[str, str] = {
    "class_weights": "the weight of the prototypes of each class: the confidence in it",
    "mixed_logits": "logits of the classes from the prototypes' mix; the largest is the decision",
    "top_candidates": "rows of the heaviest prototypes among the candidates",
    "top_weights": "their weights, which add up to 1 over all candidates",
}


@dataclass(frozen=True)
class Decisions:
    """N decisions among some classes, each with the candidates that weighed most.

    labels: (N,) int. own_logits, mixed_logits: (N, classes), of the encoder alone and of the
    prototypes' mixed values. class_weights: (N, classes), the attention weight summed by the
    candidates' labels. prototype_counts: (N, 3) int, how many prototypes make PROTOTYPE_SHARES of
    the weight. top_candidates: (N, K) int, rows of the candidate database, heaviest first.
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

    @property
    def scores(self) -> dict:
        """How familiar the inputs look: (N,) by the score's name, the confidence by "".

        softmax is the largest softmax of the encoder's own classifier (Hendrycks and Gimpel, ICLR
        2017), what a network without prototypes would be judged by; the others are FAMILIARITY.
        """
        logits = np.asarray(self.own_logits, np.float64)
        rest = np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
        others = dict(zip(FAMILIARITY, self.familiarity.T))
        return {"": self.confidence, "softmax": 1 / rest, **others}
