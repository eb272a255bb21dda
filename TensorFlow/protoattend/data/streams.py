"""Which image is a query and which a candidate, as pure functions of seed, step and rank.

Nothing is remembered from step to step, so that a resumed run sees what an uninterrupted one
would have seen. numpy's RandomState is used because its streams are frozen over its versions.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from common.core.errors import UsageError
from protoattend.data.plan import BatchPlan

_QUERIES, _CANDIDATES = 1, 2


class Streams:
    """The queries and the candidates of every step, independent of each other.

    Args:
        count: images there are.
        plan: what is asked for of them.

    Raises:
        UsageError: fewer images than a step needs.
    """

    def __init__(self, count: int, plan: BatchPlan) -> None:
        if plan.images_needed > count:
            raise UsageError(
                f"a batch of {plan.batch_size} on {plan.world_size} rank(s) with "
                f"{plan.candidates} candidates needs {plan.images_needed} training "
                "images, there "
                f"are {count}: give fewer candidates, a smaller batch or more images"
            )
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
