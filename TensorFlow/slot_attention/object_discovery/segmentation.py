"""How well slots segment a split: one number an image, added up over batches and ranks."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from common.training.tensorflow.description import Evaluation
from slot_attention.metrics.segmentation import (
    adjusted_rand_index,
    mean_best_overlap,
    reconstruction_error,
)
from slot_attention.scene_passes import ScenePass

WITH_MASKS = ("fg_ari", "ari", "fg_ari_soft", "mean_best_overlap", "reconstruction_error")
WITHOUT_MASKS = ("reconstruction_error",)
SCORE = "fg_ari"


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums and counts over images by metric; images in which a metric has no value are left out."""

    sums: Dict[str, float]
    counts: Dict[str, float]

    def mean(self, name: str) -> float:
        """The mean over the images that have a value, nan where none has."""
        return self.sums[name] / self.counts[name] if self.counts[name] else float("nan")


def image_scores(batch: Dict[str, np.ndarray], background_entities: int) -> Dict[str, np.ndarray]:
    """Metrics of every image of a batch, float64 (B,); nan where a metric has no value.

    Args:
        batch: image, combined (B, H, W, 3); with masks also mask (B, N, H, W) 0 or 1 and masks
            (B, K, H, W, 1).
        background_entities: how many of the first entities are background.
    """
    scores = {"reconstruction_error": reconstruction_error(batch["image"], batch["combined"])}
    if "mask" in batch:
        true, found = joined_background(batch["mask"], background_entities), batch["masks"]
        scores["fg_ari"] = adjusted_rand_index(true, found, foreground_only=True)
        scores["ari"] = adjusted_rand_index(true, found, foreground_only=False)
        scores["fg_ari_soft"] = adjusted_rand_index(
            true, found, foreground_only=True, binarised=False
        )
        scores["mean_best_overlap"] = mean_best_overlap(true, found)
    return scores


def joined_background(masks: np.ndarray, background_entities: int) -> np.ndarray:
    """Masks (B, N, H, W) with the first entities, all background, as one."""
    if background_entities == 1:
        return masks
    background = masks[:, :background_entities].max(axis=1, keepdims=True)
    return np.concatenate([background, masks[:, background_entities:]], axis=1)


def total(per_batch: Sequence[Dict[str, np.ndarray]]) -> Totals:
    """Adds the scores of all batches up."""
    names = per_batch[0].keys() if per_batch else ()
    values = {name: np.concatenate([scores[name] for scores in per_batch]) for name in names}
    return Totals(
        {name: float(np.nansum(value)) for name, value in values.items()},
        {name: float(np.sum(~np.isnan(value))) for name, value in values.items()},
    )


def evaluate_pass(
    session: Any,
    scenes: ScenePass,
    has_masks: bool,
    background_entities: int,
    sum_over_ranks: Callable[[List[float]], List[float]],
    split: str,
) -> Evaluation:
    """Evaluates one pass over a split; every rank gets the figures of all."""
    names = ("image", "combined") + (("mask", "masks") if has_masks else ())
    scores = [image_scores(batch, background_entities) for batch in scenes.run(session, *names)]
    metrics = WITH_MASKS if has_masks else WITHOUT_MASKS
    return as_evaluation(_over_ranks(total(scores), metrics, sum_over_ranks), metrics, split)


def _over_ranks(
    own: Totals, metrics: Sequence[str], sum_over_ranks: Callable[[List[float]], List[float]]
) -> Totals:
    """A rank without a scene of a small split takes part with zeros."""
    values = [part.get(name, 0.0) for part in (own.sums, own.counts) for name in metrics]
    added = sum_over_ranks(values)
    return Totals(
        dict(zip(metrics, added[: len(metrics)])), dict(zip(metrics, added[len(metrics) :]))
    )


def as_evaluation(totals: Totals, metrics: Sequence[str], split: str) -> Evaluation:
    """The means, with how many images there were and how many had no foreground."""
    n = int(round(totals.counts["reconstruction_error"]))
    means = {name: totals.mean(name) for name in metrics}
    if SCORE not in metrics:
        return Evaluation(split, n, means, score=-means["reconstruction_error"])
    means["without_foreground"] = n - totals.counts[SCORE]
    return Evaluation(split, n, means, score=means[SCORE])
