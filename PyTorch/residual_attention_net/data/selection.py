"""Seeded choices of images by class: the same seed chooses the same images everywhere.

numpy's RandomState is used because its streams are frozen over numpy's versions.
"""

from __future__ import annotations

import numpy as np


def stratified_indices(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices whose class shares are those of `labels`, as near as whole images allow.

    Args:
        labels: int64, (N,).
        count: 0 to N.
        seed: 0 to 2**32 - 1.

    Returns:
        int64, (count,), ascending.
    """
    return _choose(labels, _proportional_quotas(np.bincount(labels), count), seed)


def balanced_indices(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices with equally many of every class, as far as each class has images.

    Arguments and result are those of `stratified_indices`.
    """
    return _choose(labels, _balanced_quotas(np.bincount(labels), count), seed)


def _proportional_quotas(class_sizes: np.ndarray, count: int) -> np.ndarray:
    """The method of the largest remainder, in integers so that no rounding can differ."""
    total = max(int(class_sizes.sum()), 1)
    quotas, remainders = np.divmod(class_sizes * count, total)
    largest_first = np.argsort(-remainders, kind="stable")
    quotas[largest_first[: count - int(quotas.sum())]] += 1
    return quotas


def _balanced_quotas(class_sizes: np.ndarray, count: int) -> np.ndarray:
    """Equal shares; what small classes lack, the larger ones give."""
    quotas = np.zeros_like(class_sizes)
    smallest_first = np.argsort(class_sizes, kind="stable")
    for place, label in enumerate(smallest_first):
        classes_left = len(class_sizes) - place
        fair_share = (count - int(quotas.sum())) // classes_left
        quotas[label] = min(int(class_sizes[label]), fair_share)
    return quotas


def _choose(labels: np.ndarray, quotas: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.RandomState(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in enumerate(quotas)
    ]
    return np.sort(np.concatenate(chosen + [np.zeros(0, np.int64)])).astype(np.int64)


def all_but(count: int, indices: np.ndarray) -> np.ndarray:
    """The indices 0 to count - 1 that `indices` leaves, ascending, int64."""
    kept = np.ones(count, bool)
    kept[indices] = False
    return np.flatnonzero(kept).astype(np.int64)
