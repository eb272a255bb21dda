"""Which scenes a batch has: a pure function of seed, step and rank; numpy only."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

import numpy as np

from common.core.errors import UsageError
from slot_attention.data.scenes import SceneDataset


class TrainingOrder:
    """The scenes of every step: each epoch a new permutation, its incomplete last batch left out.

    Rank r takes the r-th share of every global batch, batch_size scenes. numpy's RandomState is
    used because its streams are frozen over numpy's versions.

    Raises:
        UsageError: a global batch larger than the data.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size * world_size > count:
            raise UsageError(
                f"--batch_size {batch_size} on {world_size} rank(s) is more than the {count} "
                f"training scenes: give --batch_size {max(1, count // world_size)} or fewer"
            )
        self._count, self.batch_size, self._seed = count, batch_size, seed
        self._first = rank * batch_size
        self._global_batch = batch_size * world_size
        self._last_epoch: Tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return self._count // self._global_batch

    def indices(self, step: int) -> np.ndarray:
        """This rank's scenes at a step, counted from 0: int64 (batch_size,)."""
        epoch, batch = divmod(int(step), self.steps_per_epoch)
        first = batch * self._global_batch + self._first
        kept_epoch, order = self._last_epoch  # one read: other threads replace the pair whole
        if kept_epoch != epoch:
            order = np.random.RandomState([self._seed, epoch]).permutation(self._count)
            self._last_epoch = (epoch, order)
        return order[first : first + self.batch_size]


class EvaluationOrder:
    """Every scene once, in order, over all ranks; the last batch is filled with its last scene.

    Rank r takes the r-th contiguous share; shares differ by one scene at most.
    """

    def __init__(self, count: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self._begin = count * rank // world_size
        self._end = count * (rank + 1) // world_size
        self.batch_size = batch_size

    @property
    def steps(self) -> int:
        """Batches of this rank's share, the last incomplete one included."""
        return -(-(self._end - self._begin) // self.batch_size)

    def indices(self, step: int) -> np.ndarray:
        """int64 (batch_size,); beyond the share's end its last scene is repeated."""
        first = self._begin + int(step) * self.batch_size
        return np.minimum(np.arange(first, first + self.batch_size), self._end - 1)

    def valid(self, step: int) -> int:
        """How many scenes of a batch count."""
        return min(self.batch_size, self._end - self._begin - int(step) * self.batch_size)


def arrays_of(dataset: SceneDataset, split: str, fields: Sequence[str]) -> Dict[str, np.ndarray]:
    """The arrays of a split that batches are cut out of, by field: image, mask, target.

    Raises:
        UsageError: a split or a field that the dataset hasn't.
    """
    found = dataset.split(split)
    known = {"image": found.images, "mask": found.labels, "target": found.targets}
    known = {name: array for name, array in known.items() if array is not None}
    for field in fields:
        if field not in known:
            raise UsageError(f"{dataset.facts.name} has no {field}: it has {', '.join(known)}")
    return {field: known[field] for field in fields}
