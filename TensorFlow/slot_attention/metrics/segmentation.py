"""How well predicted masks agree with the true ones: ARI, FG-ARI and mean best overlap.

Every function takes groups on axis 1 and pixels on all axes after it, and flattens the pixels:
the true masks (batch, entities, height, width) and the autoencoder's masks
(batch, slots, height, width, 1) go in as they are.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from common.training.run import Evaluation

BACKGROUND = 1  # true masks hold this many groups of background, first
ERROR, SCORE = "reconstruction_error", "fg_ari"
WITH_MASKS, WITHOUT = (SCORE, "ari", "fg_ari_soft", "mean_best_overlap", ERROR), (ERROR,)


def adjusted_rand_index(
    true_masks: np.ndarray,
    predicted_masks: np.ndarray,
    foreground_only: bool,
    binarised: bool = True,
) -> np.ndarray:
    """The adjusted Rand index of every image, (batch,) float64: 0 is chance, 1 perfect.

    Hubert and Arabie, 1985, over pairs of pixels. Binarised, a pixel belongs to the slot with the
    largest mask of ALL slots (the first of equal ones), as in deepmind's multi_object_datasets,
    whose published values are with foreground_only. On soft masks the numbers of pairs are their
    expectations if each pixel drew its slot with its mask as the probabilities.

    An image without a counted pixel gives nan (deepmind's code gives 1 there if one slot has all
    pixels). One true group found as one slot gives 1, as in scikit-learn, spread over several 0.

    Args:
        true_masks: (batch, entities, pixels...), 0 and 1 or bool, background first; a pixel that
            is in no entity is not counted.
        predicted_masks: (batch, slots, pixels...), sum 1 over the slots.
        foreground_only: whether to leave out the pixels of the true background.
    """
    true_groups, slots = _flattened(true_masks, predicted_masks)
    if foreground_only:
        true_groups = true_groups[:, BACKGROUND:]
    if binarised:
        slots = one_hot(slots)
    true_groups, slots = true_groups.astype(np.float64), slots.astype(np.float64)
    overlaps = true_groups @ slots.transpose(0, 2, 1)
    own_pairs = true_groups @ (slots**2).transpose(0, 2, 1)  # pairs of a pixel with itself
    return _index_of_pairs(true_groups.sum(axis=2), overlaps, own_pairs)


def _index_of_pairs(sizes: np.ndarray, overlaps: np.ndarray, own_pairs: np.ndarray) -> np.ndarray:
    """The index from pair counts: sizes (batch, groups), the others (batch, groups, slots)."""
    pixels = sizes.sum(axis=1)
    pairs = pixels * (pixels - 1)
    together_true = (sizes * (sizes - 1)).sum(axis=1)
    together_found = (overlaps.sum(axis=1) ** 2 - own_pairs.sum(axis=1)).sum(axis=1)
    both = (overlaps**2 - own_pairs).sum(axis=(1, 2))
    only_true, only_found = together_true - both, together_found - both
    neither = pairs - together_true - together_found + both
    # This form of the index is exactly 0 and 0/0 in the degenerate cases, without rounding.
    numerator = 2 * (both * neither - only_true * only_found)
    denominator = together_true * (only_true + neither) + together_found * (only_found + neither)
    index = np.divide(numerator, denominator, out=np.ones_like(pixels), where=denominator != 0)
    return np.where(pixels > 0, index, np.nan)


def mean_best_overlap(true_masks: np.ndarray, predicted_masks: np.ndarray) -> np.ndarray:
    """The mean best overlap (mBO, Pont-Tuset et al., 2017) of every image, (batch,) float64.

    For every object with at least one pixel, the largest intersection over union with any slot's
    binarised mask (background pixels that the slot owns count in the union); the mean over the
    image's objects, nan without any. Slots may serve several objects. Masks as above.
    """
    true_groups, slots = _flattened(true_masks, predicted_masks)
    objects = true_groups[:, BACKGROUND:].astype(np.float64)
    owned = one_hot(slots).astype(np.float64)
    shared, sizes = objects @ owned.transpose(0, 2, 1), objects.sum(axis=2)
    union = sizes[:, :, None] + owned.sum(axis=2)[:, None, :] - shared
    best = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0).max(axis=2)
    number = (sizes > 0).sum(axis=1)
    return np.divide(best.sum(axis=1), number, out=np.full(len(best), np.nan), where=number > 0)


def one_hot(masks: np.ndarray) -> np.ndarray:
    """Gives every pixel to the slot with its largest mask: (batch, slots, ...) to bool, same shape.

    Of equal masks the first slot wins.
    """
    slots = np.arange(masks.shape[1]).reshape((1, -1) + (1,) * (masks.ndim - 2))
    return np.equal(np.expand_dims(masks.argmax(axis=1), 1), slots)


def reconstruction_error(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """The mean squared error of every image, over pixels and channels: (batch,) float64."""
    if images.shape != reconstructions.shape:
        raise ZooError(
            f"images {images.shape} and reconstructions {reconstructions.shape} differ in shape"
        )
    difference = images.astype(np.float64) - reconstructions
    return (difference**2).reshape(len(images), -1).mean(axis=1)


def _flattened(
    true_masks: np.ndarray, predicted_masks: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    true_groups = true_masks.reshape(true_masks.shape[:2] + (-1,))
    slots = predicted_masks.reshape(predicted_masks.shape[:2] + (-1,))
    if (true_groups.shape[0], true_groups.shape[2]) != (slots.shape[0], slots.shape[2]):
        raise ZooError(
            f"true masks {true_masks.shape} and predicted masks {predicted_masks.shape} differ in "
            "images or pixels; axis 1 is for entities and slots"
        )
    return true_groups, slots


def image_scores(batch: Mapping[str, np.ndarray], background: int) -> Dict[str, np.ndarray]:
    """Metrics of every image of a batch, float64 (B,); nan where a metric has no value.

    Args:
        batch: image, combined (B, H, W, 3); with masks also mask (B, N, H, W) 0 or 1 and masks
            (B, K, H, W, 1).
        background: how many of the first entities are background; they count as one.
    """
    scores = {ERROR: reconstruction_error(batch["image"], batch["combined"])}
    if "mask" in batch:
        true, found = batch["mask"], batch["masks"]
        joined = true[:, :background].max(axis=1, keepdims=True)
        true = np.concatenate([joined, true[:, background:]], axis=1)
        scores["fg_ari"] = adjusted_rand_index(true, found, True)
        scores["ari"] = adjusted_rand_index(true, found, False)
        scores["fg_ari_soft"] = adjusted_rand_index(true, found, True, binarised=False)
        scores["mean_best_overlap"] = mean_best_overlap(true, found)
    return scores


def added_scores(
    batches: Iterable[Mapping[str, np.ndarray]], background: int, has_masks: bool
) -> List[float]:
    """For each metric the sum over the images of batches, then for each how many have a value."""
    scores = [image_scores(batch, background) for batch in batches]
    # A rank without a scene of a small split takes part with zeros.
    values = [
        np.concatenate([[], *(one[name] for one in scores)])
        for name in (WITH_MASKS if has_masks else WITHOUT)
    ]
    return [float(np.nansum(value)) for value in values] + [
        float(np.sum(~np.isnan(value))) for value in values
    ]


def as_evaluation(added: Sequence[float], has_masks: bool, split: str) -> Evaluation:
    """Means from added scores; images without foreground are counted apart."""
    metrics = WITH_MASKS if has_masks else WITHOUT
    sums, counts = (dict(zip(metrics, part)) for part in np.reshape(added, (2, -1)).tolist())
    means = {name: sums[name] / counts[name] if counts[name] else float("nan") for name in metrics}
    n = int(round(counts[ERROR]))
    if not has_masks:
        return Evaluation(split, n, means, score=-means[ERROR])
    means["without_foreground"] = n - counts[SCORE]
    return Evaluation(split, n, means, score=means[SCORE])
