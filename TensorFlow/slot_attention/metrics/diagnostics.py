"""Signs of slots that don't specialise: attention without decision, idle slots, duplicates.

These are the definitions; the training graph computes the same formulas.
"""

from __future__ import annotations

import numpy as np

LEAST_SHARE = 0.005  # of the image's pixels; 82 pixels at 128x128, less than CLEVR's small objects
LEAST_OVERLAP = 0.5
LEAST_COSINE = 0.95
_TINY = 1e-12


def attention_entropy(attention: np.ndarray) -> np.ndarray:
    """Returns how undecided the inputs are between the slots, 0 (one slot each) to 1 (all equal).

    mean over inputs n of -sum_k a[n,k] ln a[n,k], divided by ln K, where a is the softmax over the
    K slots (before the normalisation over inputs) and 0 ln 0 = 0. With one slot it is 0.

    Args:
        attention: (..., inputs, slots), sum 1 over the slots.

    Returns:
        (...,), float64.
    """
    chances = attention.astype(np.float64)
    entropy = -(chances * np.log(np.maximum(chances, _TINY))).sum(axis=-1).mean(axis=-1)
    return entropy / max(np.log(attention.shape[-1]), _TINY)


def slots_in_use(masks: np.ndarray, least_share: float = LEAST_SHARE) -> np.ndarray:
    """Returns for every image the number of slots that own at least least_share of its pixels.

    sum_k [ |{p : argmax_j m[j,p] = k}| / P >= least_share ] over the P pixels.

    Args:
        masks: (batch, slots, pixels...).

    Returns:
        (batch,), int64.
    """
    pixels = masks.reshape(masks.shape[:2] + (-1,))
    owner = pixels.argmax(axis=1)
    share = np.stack([(owner == slot).mean(axis=1) for slot in range(masks.shape[1])], axis=1)
    return (share >= least_share).sum(axis=1)


def duplicate_masks(
    masks: np.ndarray, least_overlap: float = LEAST_OVERLAP, least_share: float = LEAST_SHARE
) -> np.ndarray:
    """Returns for every image the number of pairs of slots that explain the same pixels.

    The pairs j < k with sum_p min(m[j,p], m[k,p]) / sum_p max(m[j,p], m[k,p]) >= least_overlap
    whose two masks each have a mean over the pixels of at least least_share, so that two idle
    slots are no duplicates. Soft masks, since binarised ones never overlap.

    Args:
        masks: (batch, slots, pixels...), sum 1 over the slots.

    Returns:
        (batch,), int64.
    """
    soft = masks.reshape(masks.shape[:2] + (-1,)).astype(np.float64)
    first, second = np.triu_indices(masks.shape[1], k=1)
    size = soft.sum(axis=2)
    shared = _sums_of_minima(soft, first, second)
    union = size[:, first] + size[:, second] - shared
    large = size >= least_share * soft.shape[2]
    return ((shared >= least_overlap * union) & large[:, first] & large[:, second]).sum(axis=1)


def _sums_of_minima(soft: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    sums = np.empty((len(soft), len(first)))
    for pair, (one, other) in enumerate(zip(first, second)):
        sums[:, pair] = np.minimum(soft[:, one], soft[:, other]).sum(axis=1)
    return sums


def similar_slots(slots: np.ndarray, least_cosine: float = LEAST_COSINE) -> np.ndarray:
    """Returns for every image the number of pairs of slots j < k that point the same way.

    s[j]·s[k] / (|s[j]| |s[k]|) >= least_cosine; a slot of zeros is similar to none.

    Args:
        slots: (batch, slots, size).

    Returns:
        (batch,), int64.
    """
    vectors = slots.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    directions = vectors / np.maximum(lengths, _TINY)
    cosines = np.matmul(directions, directions.transpose(0, 2, 1))
    first, second = np.triu_indices(slots.shape[1], k=1)
    return (cosines[:, first, second] >= least_cosine).sum(axis=1)
