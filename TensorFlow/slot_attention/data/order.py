"""Which scene comes when: a pure function of seed, step and rank; numpy only."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from common.core.errors import UsageError


class TrainingOrder:
    """The scenes of every step: each epoch a new permutation, its incomplete last batch left out.

    Rank r takes the r-th share of every global batch. numpy's RandomState is used because its
    streams are frozen over numpy's versions.

    Args:
        count: scenes.
        batch_size: per rank.
        seed: 0 to 2**32 - 1.
        rank: from 0 to world_size - 1.
        world_size: number of ranks.

    Raises:
        UsageError: a batch size below 1, a global batch larger than the data, a seed out of range.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of a world of {world_size}")
        if not 0 <= seed < 2**32:
            raise UsageError(f"seed {seed} is out of range: use 0 to 2**32 - 1")
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: at least 1 is needed")
        if batch_size * world_size > count:
            raise UsageError(
                f"batch size {batch_size} on {world_size} rank(s) is larger than the "
                f"{count} training scenes: use a smaller "
                "batch, fewer ranks or more scenes"
            )
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._first = rank * batch_size
        self._global_batch = batch_size * world_size
        self._last_epoch: Tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return self._count // self._global_batch

    def indices(self, step: int) -> np.ndarray:
        """Returns int64 (batch_size,): this rank's scenes at a step, counted from 0."""
        epoch, batch = divmod(int(step), self.steps_per_epoch)
        first = batch * self._global_batch + self._first
        return self._permutation(epoch)[first : first + self._batch_size]

    def _permutation(self, epoch: int) -> np.ndarray:
        kept_epoch, order = self._last_epoch  # one read: other threads replace the pair whole
        if kept_epoch != epoch:
            order = np.random.RandomState([self._seed, epoch]).permutation(self._count)
            self._last_epoch = (epoch, order)
        return order


class EvaluationOrder:
    """Every scene once, in order, over all ranks; the last batch is filled with its last scene.

    Rank r takes the r-th contiguous share; shares differ by one scene at most.

    Args:
        count: scenes.
        batch_size: per rank.
        rank: from 0 to world_size - 1.
        world_size: number of ranks.
    """

    def __init__(self, count: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of a world of {world_size}")
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: at least 1 is needed")
        self._begin = count * rank // world_size
        self._end = count * (rank + 1) // world_size
        self._batch_size = batch_size

    @property
    def steps(self) -> int:
        """Batches of this rank's share, the last incomplete one included."""
        return -(-(self._end - self._begin) // self._batch_size)

    def indices(self, step: int) -> np.ndarray:
        """Returns int64 (batch_size,); beyond the share's end its last scene is repeated."""
        first = self._begin + int(step) * self._batch_size
        return np.minimum(np.arange(first, first + self._batch_size), self._end - 1)

    def valid(self, step: int) -> int:
        """Returns how many scenes of a batch count."""
        first = self._begin + int(step) * self._batch_size
        return min(self._batch_size, self._end - first)
