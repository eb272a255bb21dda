"""The batch of a step as numpy arrays."""

from __future__ import annotations

from typing import Dict

import numpy as np

from common.data.manifest import manifest_sha256, sha256_of_array
from protoattend.data.augmentation import augment, draw
from protoattend.data.labelled_images import LabelledImages
from protoattend.data.plan import BatchPlan
from protoattend.data.streams import Streams

Batch = Dict[str, np.ndarray]
FIELDS = ("images", "labels", "candidates", "candidate_labels")
_HASHED_BATCHES = 3


class StepBatches:
    """Makes the batch of any step; see batches.make_batches for its fields.

    Raises:
        UsageError: fewer images than a step needs.
    """

    def __init__(self, split: LabelledImages, plan: BatchPlan) -> None:
        self._split, self._plan = split, plan
        self._streams = Streams(len(split), plan)

    def batch(self, step: int) -> Batch:
        """The batch of a step from 0."""
        queries = self._split.take(self._streams.queries_of(step))
        candidates = self._split.take(self._streams.candidates_of(step))
        images, candidate_images = queries.images, candidates.images
        if self._plan.augment:
            images = self._augmented_queries(images, step)
            candidate_images = self._augmented_candidates(candidate_images, step)
        return {
            "images": images,
            "labels": queries.labels,
            "candidates": candidate_images,
            "candidate_labels": candidates.labels,
        }

    def _augmented_queries(self, images: np.ndarray, step: int) -> np.ndarray:
        """Drawn for the global batch, so that many ranks see what one would."""
        plan = self._plan
        draws = draw(plan.seed, step, "queries", plan.global_batch, plan.flip)
        return augment(images, draws.part(plan.rank * plan.batch_size, plan.batch_size))

    def _augmented_candidates(self, images: np.ndarray, step: int) -> np.ndarray:
        plan = self._plan
        stream = f"candidates of rank {plan.rank}"
        return augment(images, draw(plan.seed, step, stream, len(images), plan.flip))


def first_batches_sha256(split: LabelledImages, plan: BatchPlan) -> str:
    """Names the first three batches: equal checksums mean equal batches."""
    batches = StepBatches(split, plan)
    sums = {}
    for step in range(_HASHED_BATCHES):
        for field, array in batches.batch(step).items():
            sums[f"{step} {field}"] = sha256_of_array(array)
    return manifest_sha256(sums)
