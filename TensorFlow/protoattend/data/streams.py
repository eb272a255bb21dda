"""Which image is a query and which a candidate, as pure functions of seed, step and rank.

Nothing is remembered from step to step, so that a resumed run sees what an uninterrupted one
would have seen. numpy's RandomState is used because its streams are frozen over its versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import UsageError
from common.core.text import listed
from common.data.arrays import manifest_sha256, sha256_of_array
from common.data.labelled_images import LabelledImages
from protoattend.data.augmentation import augment, draw

Batch = Dict[str, np.ndarray]
FIELDS = ("images", "labels", "candidates", "candidate_labels")
_QUERIES, _CANDIDATES = 1, 2
_HASHED_BATCHES = 3


@dataclass(frozen=True)
class BatchPlan:
    """The choices that decide every batch.

    Attributes:
        batch_size: queries of a step, per rank.
        candidates: candidates of a step, per rank; 0 where the queries are one another's.
        seed: 0 to 2**32 - 1.
        rank: from 0 to world_size - 1.
        world_size: number of ranks.
        shuffle: draw at random; in the order of the data when False, as the reference.
        exclude_queries: a step's queries are not among its candidates; the reference doesn't
            look.
        augment: random crop, and flip left to right.
        flip: False leaves the flip out.

    Raises:
        UsageError: a number out of range.
    """

    batch_size: int
    candidates: int
    seed: int
    rank: int = 0
    world_size: int = 1
    shuffle: bool = True
    exclude_queries: bool = True
    augment: bool = True
    flip: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} of a world of {self.world_size}")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed {self.seed} is out of range: use 0 to 2**32 - 1")
        if self.batch_size < 1 or self.candidates < 0:
            raise UsageError(
                f"batch size {self.batch_size} with {self.candidates} candidates: at least 1 of "
                "each is needed"
            )
        if self.candidates == 0 and self.batch_size == 1:
            raise UsageError(
                "a batch of 1 has no other queries to take for candidates: give a larger batch, or "
                "candidates"
            )

    @property
    def global_batch(self) -> int:
        """Queries of a step over all ranks."""
        return self.batch_size * self.world_size

    @property
    def images_needed(self) -> int:
        """The fewest images that such batches can be made of."""
        if self.exclude_queries:
            return self.global_batch + self.candidates
        return max(self.global_batch, self.candidates)

    def check(self, count: int) -> None:
        """Raises UsageError, with the flags to give, where a step needs more images."""
        if self.images_needed <= count:
            return
        left = count - self.global_batch if self.exclude_queries else count
        remedy = (
            f"give --example_cand_size of at most {left}"
            if left > 0 and self.global_batch <= count
            else "give a smaller --batch_size and --example_cand_size"
        )
        raise UsageError(
            f"--batch_size {self.batch_size} on {self.world_size} rank(s) with "
            f"--example_cand_size {self.candidates} needs {self.images_needed} training images, "
            f"there are {count}: {remedy}, or more images"
        )


class Streams:
    """The queries and the candidates of every step, independent of each other.

    Args:
        count: images there are.
        plan: what is asked for of them.

    Raises:
        UsageError: fewer images than a step needs.
    """

    def __init__(self, count: int, plan: BatchPlan) -> None:
        plan.check(count)
        self._count, self._plan = count, plan
        self._last_epoch: Tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every image is a query once at most, the same on every rank."""
        return self._count // self._plan.global_batch

    def queries_of(self, step: int) -> np.ndarray:
        """Returns int64 (batch_size,): this rank's part of the global batch of a step from 0."""
        first = self._plan.rank * self._plan.batch_size
        return self.global_queries_of(step)[first : first + self._plan.batch_size]

    def global_queries_of(self, step: int) -> np.ndarray:
        """Returns int64 (batch_size * world_size,): the queries of all ranks.

        Each epoch is a permutation of its own, whose incomplete last batch is left out; without
        shuffling the data is gone through again and again.
        """
        size = self._plan.global_batch
        if not self._plan.shuffle:
            return (int(step) * size + np.arange(size, dtype=np.int64)) % self._count
        epoch, batch = divmod(int(step), self.steps_per_epoch)
        return self._epoch(epoch)[batch * size : (batch + 1) * size]

    def candidates_of(self, step: int) -> np.ndarray:
        """Returns int64 (candidates,): no image twice, drawn for this rank alone.

        With exclude_queries none of them is a query of this step on any rank.
        """
        if not self._plan.candidates:
            return np.zeros(0, np.int64)
        pool = self._pool(int(step))
        if self._plan.exclude_queries:
            is_query = np.zeros(self._count, bool)
            is_query[self.global_queries_of(step)] = True
            pool = pool[~is_query[pool]]
        return pool[: self._plan.candidates]

    def _pool(self, step: int) -> np.ndarray:
        """More images than are needed, as many as leave enough without the queries."""
        plan = self._plan
        if plan.shuffle:
            seeds = [plan.seed, _CANDIDATES, plan.rank, step]
            drawn = np.random.RandomState(seeds).permutation(self._count)
            return drawn[: plan.images_needed].astype(np.int64)
        first = (step * plan.world_size + plan.rank) * plan.candidates
        return (first + np.arange(plan.images_needed, dtype=np.int64)) % self._count

    def _epoch(self, epoch: int) -> np.ndarray:
        kept_epoch, order = self._last_epoch  # one read: other threads replace the pair whole
        if kept_epoch != epoch:
            generator = np.random.RandomState([self._plan.seed, _QUERIES, epoch])
            order = generator.permutation(self._count).astype(np.int64)
            self._last_epoch = (epoch, order)
        return order


class StepBatches:
    """Makes the batch of any step as numpy arrays; see batches.make_batches for its fields.

    Raises:
        UsageError: fewer images than a step needs.
    """

    def __init__(self, split: LabelledImages, plan: BatchPlan) -> None:
        self._split, self._plan = split, plan
        self._streams = Streams(len(split), plan)

    def batch(self, step: int) -> Batch:
        """The batch of a step from 0."""
        plan = self._plan
        queries = self._split.take(self._streams.queries_of(step))
        candidates = self._split.take(self._streams.candidates_of(step))
        images, candidate_images = queries.images, candidates.images
        if plan.augment:
            # Drawn for the global batch, so that many ranks see what one would.
            draws = draw(plan.seed, step, "queries", plan.global_batch, plan.flip)
            images = augment(images, draws.part(plan.rank * plan.batch_size, plan.batch_size))
            stream = f"candidates of rank {plan.rank}"
            draws = draw(plan.seed, step, stream, len(candidate_images), plan.flip)
            candidate_images = augment(candidate_images, draws)
        return dict(zip(FIELDS, (images, queries.labels, candidate_images, candidates.labels)))


def first_batches_sha256(split: LabelledImages, plan: BatchPlan) -> str:
    """Names the first three batches: equal checksums mean equal batches."""
    batches = StepBatches(split, plan)
    sums = {}
    for step in range(_HASHED_BATCHES):
        for field, array in batches.batch(step).items():
            sums[f"{step} {field}"] = sha256_of_array(array)
    return manifest_sha256(sums)


# --- candidates of an evaluation -------------------------------------------------------------


def check_candidates(count: int, images: int) -> None:
    """Raises UsageError, with the flag to give, where there are fewer images than candidates."""
    if not 1 <= count <= images:
        raise UsageError(
            f"--eval_cand_size {count}: there are {images} training images to choose from: give "
            f"--eval_cand_size of 1 to {images}"
        )


def candidate_database(
    split: LabelledImages, count: int, seed: int = 0, shuffle: bool = True
) -> LabelledImages:
    """`count` images of a split: a seeded choice without replacement, in the order of the data.

    Args:
        split: normally the training images.
        count: from 1 to len(split).
        seed: 0 to 2**32 - 1.
        shuffle: the first `count` images when False, as the reference.

    Raises:
        UsageError: fewer images than asked for.
    """
    check_candidates(count, len(split))
    order = np.arange(len(split))
    if shuffle:
        order = np.random.RandomState(seed).permutation(len(split))
    return split.take(np.sort(order[:count]))


def missing_classes_warning(
    candidate_labels: np.ndarray, class_names: Sequence[str]
) -> Optional[str]:
    """A line that names the classes without any candidate, or None."""
    present = np.bincount(candidate_labels, minlength=len(class_names)) > 0
    missing = [name for name, is_there in zip(class_names, present) if not is_there]
    if not missing:
        return None
    return (
        f"{len(missing)} of {len(class_names)} classes are missing among the "
        f"{len(candidate_labels)} candidates ({listed(missing, 60)}): no prototype can speak for "
        "them; give more candidates"
    )
