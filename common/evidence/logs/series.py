"""What a log says, as typed arrays: series by name, restarts kept apart, what was odd."""

from __future__ import annotations

import dataclasses
from typing import Dict, Tuple

import numpy as np

from common.core.errors import ZooError


@dataclasses.dataclass(frozen=True)
class Series:
    """One quantity over the steps of a run.

    Attributes:
        name: loss, fps, learning_rate, elapsed_seconds, epoch, validation_accuracy, …
        steps: (N,) int64, strictly increasing.
        values: (N,) float64; NaN and infinities are what the log said.
    """

    name: str
    steps: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    def before(self, step: int) -> Series:
        """The part before a step."""
        end = int(np.searchsorted(self.steps, step))
        return Series(self.name, self.steps[:end], self.values[:end])


@dataclasses.dataclass(frozen=True)
class Restart:
    """Where a run began again within one log.

    Attributes:
        first_step: from here on the later life counts.
        after_step: the last step that the life before it told.
    """

    first_step: int
    after_step: int


@dataclasses.dataclass(frozen=True)
class ParsedLog:
    """One log.

    Attributes:
        source: the file's name as it was given.
        format: the name of the format it is in.
        series: by name, joined over restarts: a later life's steps replace those at and after
            its first step.
        restarts: in the file's order; empty for a run in one go.
        lives: the series of each life by itself; one more than there are restarts.
        ranks: the ranks whose lines are marked as theirs; empty where no line is marked.
        notes: what was odd, one line each.
        lines: of the file, 0 where there is no log but a record.
    """

    source: str
    format: str
    series: Dict[str, Series]
    restarts: Tuple[Restart, ...] = ()
    lives: Tuple[Dict[str, Series], ...] = ()
    ranks: Tuple[int, ...] = ()
    notes: Tuple[str, ...] = ()
    lines: int = 0

    def find(self, name: str) -> Series:
        """A series by name, or by the end of its name where only one ends so (accuracy).

        Raises:
            ZooError: none or several; the error lists those there are.
        """
        if name in self.series:
            return self.series[name]
        fitting = [known for known in self.series if known.endswith("_" + name)]
        if len(fitting) == 1:
            return self.series[fitting[0]]
        raise ZooError(
            "{} has {} series {!r}; there are: {}".format(
                self.source,
                "several" if fitting else "no",
                name,
                ", ".join(sorted(fitting or self.series)) or "none",
            )
        )


def joined(earlier: Series, later: Series, first_step: int) -> Series:
    """Two lives as one: the later one's steps replace those at and after `first_step`."""
    kept = earlier.before(first_step)
    return Series(
        later.name,
        np.concatenate([kept.steps, later.steps]),
        np.concatenate([kept.values, later.values]),
    )
