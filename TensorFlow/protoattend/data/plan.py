"""What the batches of a training run consist of."""

from __future__ import annotations

from dataclasses import dataclass

from common.core.errors import UsageError


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
        if self.candidates == 0 and self.batch_size == 1:
            raise UsageError(
                "a batch of 1 has no other queries to take for candidates: give a larger batch, or "
                "candidates"
            )
        if self.batch_size < 1 or self.candidates < 0:
            raise UsageError(
                f"batch size {self.batch_size} with {self.candidates} candidates: at least 1 "
                "of each is "
                "needed"
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
