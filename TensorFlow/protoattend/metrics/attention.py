"""What attention weights over candidates say: weight by class, and how few candidates carry it."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from protoattend.metrics.decisions import PROTOTYPE_SHARES, check_labels


def class_weights(weights: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Sums each query's weights by the candidates' labels.

    It is what the reference (protoattend/utils.py, class_explainability) does in a double loop over
    queries and candidates, as one product with one-hot labels.

    Args:
        weights: (queries, candidates) floats. labels: (candidates,) int.

    Returns:
        (queries, classes), of the type of the weights.

    Raises:
        ZooError: a label is no class.
    """
    check_labels(labels, classes, "the candidates")
    return weights @ np.eye(classes, dtype=weights.dtype)[labels]


def prototype_counts(weights: np.ndarray, shares: Sequence[float] = PROTOTYPE_SHARES) -> np.ndarray:
    """Counts the heaviest candidates that together have more than each share of the weight.

    The reference's rule (main_protoattend.py): candidates + 1 - count(cumulated weight > share),
    the weights taken by falling size. A share that no number of candidates exceeds, which rounding
    can cause, gives candidates + 1.

    Args:
        weights: (queries, candidates) floats, each row's sum 1.

    Returns:
        (queries, len(shares)) int64.
    """
    heaviest_first = -np.sort(-weights, axis=1)
    cumulated = np.cumsum(heaviest_first, axis=1)
    above = [(cumulated > weights.dtype.type(share)).sum(axis=1) for share in shares]
    return weights.shape[1] + 1 - np.stack(above, axis=1)
