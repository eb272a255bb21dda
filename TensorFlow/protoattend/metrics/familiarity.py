"""How familiar an input looks, by other scores than the confidence: to tell other sets apart."""

from __future__ import annotations

from typing import Dict

import numpy as np

from protoattend.metrics.decisions import FAMILIARITY, Decisions

SOFTMAX = "softmax"


def familiarity_scores(decisions: Decisions) -> Dict[str, np.ndarray]:
    """Scores (N,) by name, the larger the more familiar.

    softmax is the largest softmax of the encoder's own classifier (Hendrycks and Gimpel, ICLR
    2017), what a network without prototypes would be judged by; the others are the attention's.
    """
    found = {SOFTMAX: largest_softmax(decisions.own_logits)}
    found.update(zip(FAMILIARITY, decisions.familiarity.T))
    return found


def largest_softmax(logits: np.ndarray) -> np.ndarray:
    """The largest softmax of each row (N, classes): (N,) float64."""
    logits = np.asarray(logits, np.float64)
    rest = np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    return np.asarray(1 / rest)
