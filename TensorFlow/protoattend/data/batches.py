"""Which image is a query and which a candidate, cut out how: functions of seed, step and rank.

Nothing is remembered from step to step, so that a resumed run sees what an uninterrupted one
would have seen. numpy's RandomState is used because its streams are frozen over its versions.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from common.core.errors import UsageError
from common.core.text import listed
from common.data.arrays import manifest_sha256, sha256_of_array
from common.data.labelled_images import LabelledImages

PADDING = 2
_QUERIES, _CANDIDATES = 1, 2
_HASHED_BATCHES = 3


def check_batches(options: Any, count: int, world_size: int = 1) -> None:
    """Raises UsageError, with the flags to give, where `count` images are too few for a step."""
    queries, candidates = options.batch_size * world_size, options.example_cand_size
    if options.batch_size == 1 and not candidates:
        raise UsageError(
            "a batch of 1 has no other queries to take for candidates: give a larger "
            "--batch_size, or --example_cand_size"
        )
    needed = _images_of_a_step(options, world_size)
    if needed <= count:
        return
    left = count - queries if options.exclude_queries else count
    remedy = (
        f"give --example_cand_size of at most {left}"
        if left > 0 and queries <= count
        else "give a smaller --batch_size and --example_cand_size"
    )
    raise UsageError(
        f"--batch_size {options.batch_size} on {world_size} rank(s) with --example_cand_size "
        f"{candidates} needs {needed} training images, there are {count}: {remedy}, or more images"
    )


def _images_of_a_step(options: Any, world_size: int) -> int:
    """The fewest images that the queries of all ranks and a rank's candidates can be taken of."""
    queries, candidates = options.batch_size * world_size, options.example_cand_size
    return queries + candidates if options.exclude_queries else max(queries, candidates)


class Batches:
    """The batch of every step, and its queries and candidates as rows of the data."""

    def __init__(
        self, images: LabelledImages, options: Any, rank: int = 0, world_size: int = 1
    ) -> None:
        """Takes batch_size, example_cand_size (0: the queries are one another's candidates),
        random_seed, shuffle, exclude_queries, augment and flip of the options.

        Raises:
            UsageError: fewer images than a step needs.
        """
        check_batches(options, len(images), world_size)
        self._images, self._count, self._options = images, len(images), options
        self._rank, self._world_size = rank, world_size
        self._global_batch = options.batch_size * world_size
        first = rank * options.batch_size
        self._own = slice(first, first + options.batch_size)
        self._last_epoch: Tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def batch(self, step: int) -> Dict[str, np.ndarray]:
        """The batch of a step from 0.

        Returns:
            images, uint8 (batch_size, H, W, C); labels, int32 (batch_size,); candidates, uint8
            (candidates, H, W, C); candidate_labels, int32 (candidates,).
        """
        options, step = self._options, int(step)
        queries = self._images.take(self.queries_of(step)[self._own])
        candidates = self._images.take(self.candidates_of(step))
        if options.augment:
            # Drawn for the global batch, so that many ranks see what one would.
            seed, flip = options.random_seed, options.flip
            draws = draw(seed, step, "queries", self._global_batch, flip)
            queries = augmented(queries, draws.part(self._own))
            stream = f"candidates of rank {self._rank}"
            candidates = augmented(candidates, draw(seed, step, stream, len(candidates), flip))
        return {
            "images": queries.images,
            "labels": queries.labels,
            "candidates": candidates.images,
            "candidate_labels": candidates.labels,
        }

    def queries_of(self, step: int) -> np.ndarray:
        """Returns int64 (batch_size * world_size,): the queries of all ranks, one after another.

        Each epoch is a permutation of its own, whose incomplete last batch is left out; without
        shuffling the data is gone through again and again.
        """
        size = self._global_batch
        if not self._options.shuffle:
            return (step * size + np.arange(size, dtype=np.int64)) % self._count
        epoch, batch = divmod(step, self._count // size)
        kept_epoch, order = self._last_epoch  # one read: other threads replace the pair whole
        if kept_epoch != epoch:
            generator = np.random.RandomState([self._options.random_seed, _QUERIES, epoch])
            order = generator.permutation(self._count).astype(np.int64)
            self._last_epoch = (epoch, order)
        return order[batch * size : (batch + 1) * size]

    def candidates_of(self, step: int) -> np.ndarray:
        """Returns int64 (example_cand_size,): no image twice, drawn for this rank alone.

        With exclude_queries none of them is a query of this step on any rank.
        """
        options, rank = self._options, self._rank
        count, needed = options.example_cand_size, _images_of_a_step(options, self._world_size)
        if not count:
            return np.zeros(0, np.int64)
        if options.shuffle:
            generator = np.random.RandomState([options.random_seed, _CANDIDATES, rank, step])
            pool = generator.permutation(self._count).astype(np.int64)[:needed]
        else:
            first = (step * self._world_size + rank) * count
            pool = (first + np.arange(needed, dtype=np.int64)) % self._count
        if options.exclude_queries:
            is_query = np.zeros(self._count, bool)
            is_query[self.queries_of(step)] = True
            pool = pool[~is_query[pool]]
        return pool[:count]


def first_batches_sha256(batches: Batches) -> str:
    """Names the first three batches: equal checksums mean equal batches."""
    return manifest_sha256(
        {
            f"{step} {field}": sha256_of_array(array)
            for step in range(_HASHED_BATCHES)
            for field, array in batches.batch(step).items()
        }
    )


# --- augmentation ----------------------------------------------------------------------------


class Draws(NamedTuple):
    """The random numbers of a batch: where each image is cut out, and whether it is mirrored.

    offsets: int64, (N, 2): top and left in the padded image, 0 to 2 * PADDING. flips: bool, (N,).
    """

    offsets: np.ndarray
    flips: np.ndarray

    def part(self, rows: slice) -> Draws:
        """The draws of some of the images."""
        return Draws(self.offsets[rows], self.flips[rows])


def draw(seed: int, step: int, stream: str, count: int, flip: bool = True) -> Draws:
    """The draws of a step; each stream, by its name, has draws of its own.

    Args:
        flip: mirrors half of the images; none where what they show has a left and a right.
    """
    generator = np.random.RandomState([seed, zlib.crc32(stream.encode("utf-8")), step])
    offsets = generator.randint(0, 2 * PADDING + 1, (count, 2))
    return Draws(offsets, generator.randint(0, 2, count).astype(bool) & flip)


def augmented(given: LabelledImages, draws: Draws) -> LabelledImages:
    """Copies, padded by PADDING zeros, cut out in their own size, mirrored left to right."""
    count, height, width, channels = given.images.shape
    padded = np.zeros((count, height + 2 * PADDING, width + 2 * PADDING, channels), np.uint8)
    padded[:, PADDING : PADDING + height, PADDING : PADDING + width] = given.images
    by_image, by_row, by_column, by_channel = padded.strides
    windows = as_strided(
        padded,
        (count, 2 * PADDING + 1, 2 * PADDING + 1, height, width, channels),
        (by_image, by_row, by_column, by_row, by_column, by_channel),
        writeable=False,
    )
    cut = windows[np.arange(count), draws.offsets[:, 0], draws.offsets[:, 1]]
    cut[draws.flips] = cut[draws.flips, :, ::-1]
    return replace(given, images=cut)


# --- candidates of an evaluation -------------------------------------------------------------


def evaluation_candidates(options: Any, train: LabelledImages) -> LabelledImages:
    """The candidates of an evaluation: a seeded choice of training images, in their order.

    The reference takes the first (--shuffle=false) and augments them.

    Raises:
        UsageError: fewer training images than --eval_cand_size.
    """
    count, seed, order = options.eval_cand_size, options.random_seed, np.arange(len(train))
    if count > len(train):
        raise UsageError(
            f"--eval_cand_size {count}: there are {len(train)} training images to choose from: "
            f"give --eval_cand_size of 1 to {len(train)}"
        )
    if options.shuffle:
        order = np.random.RandomState(seed).permutation(len(train))
    found = train.take(np.sort(order[:count]))
    if options.augment_evaluation_candidates:
        draws = draw(seed, 0, "evaluation candidates", count, options.flip)
        found = augmented(found, draws)
    return found


def check_images_suffice(options: Any, train: LabelledImages) -> None:
    """Raises UsageError, with the flags to give, where a training needs more images than there are.

    For one rank: it is told before TensorFlow, which takes seconds, knows how many there are.
    """
    faults = []
    for check in (
        lambda: check_batches(options, len(train)),
        lambda: evaluation_candidates(options, train),
    ):
        try:
            check()
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("; ".join(faults))


def missing_classes_warning(labels: np.ndarray, class_names: Sequence[str]) -> Optional[str]:
    """A line that names the classes without any candidate, or None."""
    present = np.bincount(labels, minlength=len(class_names)) > 0
    missing = [name for name, is_there in zip(class_names, present) if not is_there]
    if not missing:
        return None
    return (
        f"{len(missing)} of {len(class_names)} classes are missing among the {len(labels)} "
        f"candidates ({listed(missing, 60)}): no prototype can speak for them; give more candidates"
    )
