"""What a log says, as typed arrays: series by name, restarts and ranks told apart."""

from __future__ import annotations

import array
import bisect
import dataclasses
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError

_RANKS_APART = 3  # step lines by which a rank may be behind another
_MOST_LIVES = 1000
_MOST = 2**60  # a step that no log has


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

    def part(self, chosen: slice) -> Series:
        """The samples at some places."""
        return Series(self.name, self.steps[chosen], self.values[chosen])

    def until(self, step: int, later: Optional[Series] = None) -> Series:
        """The part before a step, and then a later life's values."""
        before = self.part(slice(int(np.searchsorted(self.steps, step))))
        if later is None:
            return before
        steps = np.concatenate([before.steps, later.steps])
        return Series(self.name, steps, np.concatenate([before.values, later.values]))


@dataclasses.dataclass(frozen=True)
class Restart:
    """Where a run began again: the later life counts from first_step on, the one before told
    after_step last."""

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
        lines: of the file.
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
        found, known = "several" if fitting else "no", ", ".join(sorted(fitting or self.series))
        raise ZooError(f"{self.source} has {found} series {name!r}; there are: {known or 'none'}")


Columns = Dict[str, Tuple["array.array[int]", "array.array[float]"]]  # steps and values


class Observations:
    """What a log tells, in its order, life by life.

    A step that goes back is a restart; where it goes back by a few lines only, as ranks do that
    wait for each other, and the lines after it do not rise from there, it is another rank's line or
    one told twice, and is not read.

    Attributes:
        step: where the log stands.
        telling: how many values tell of a training.
    """

    def __init__(self, one_writer: bool) -> None:
        self.step = self.telling = 0
        self._one_writer = one_writer
        self._lives: List[Columns] = [{}]
        self._restarts: List[Restart] = []
        self._told = array.array("q")  # the steps of the present life's step lines
        self._kept_until: Optional[int] = None  # by a life that begins with the next step line
        self._not_read, self._first_not_read = 0, 0
        self._behind, self._last_behind = 0, 0  # step lines in a row that are not read and rise

    def begin(self, kept_until: Optional[int]) -> None:
        """The run begins, again perhaps, after the step that it keeps, if it tells one."""
        self._kept_until = _MOST if kept_until is None else kept_until

    def step_line(self, step: int, values: Iterable[Tuple[str, float]]) -> None:
        """The run has come to a step."""
        self.step = step
        told, kept, back = self._told, self._kept_until, 0
        if told and step <= told[-1] and not self._one_writer:
            back = len(told) - bisect.bisect_left(told, step)
        if back:
            self._behind = self._behind + 1 if step > self._last_behind else 1
            self._last_behind = step
        begins = kept is not None or max(back, self._behind) > _RANKS_APART
        if told and begins and len(self._lives) < _MOST_LIVES:
            first = step if kept is None else min(step, kept + 1)
            self._restarts.append(Restart(first, told[-1]))
            self._lives.append({})
            self._told = told = array.array("q")
        elif back:
            self._first_not_read = self._first_not_read if self._not_read else step
            self._not_read += 1
            return
        self._kept_until, self._behind = None, 0
        told.append(step)
        self.put(step, values)

    def put(self, step: int, values: Iterable[Tuple[str, float]]) -> None:
        """Takes values that belong to a step."""
        columns = self._lives[-1]
        for name, value in values:
            if name not in columns:
                columns[name] = array.array("q"), array.array("d")
            steps, column = columns[name]
            steps.append(step)
            column.append(value)

    def parsed(self, source: str, format: str) -> ParsedLog:
        """The log's series; what is told twice of a step in one life counts once."""
        lives = [
            {name: _series(name, *column) for name, column in life.items()} for life in self._lives
        ]
        whole = dict(lives[0])
        for life, restart in zip(lives[1:], self._restarts):
            for name, series in whole.items():
                whole[name] = series.until(restart.first_step, life.get(name))
            whole = {**life, **whole}
        notes = []
        for first, after in map(dataclasses.astuple, self._restarts):
            replaced = "; the earlier life's steps from there on are replaced"
            told = f"the run began again at step {first:,} after step {after:,}"
            notes.append(told + replaced * (first <= after))
        if self._not_read:
            notes.append(
                f"not read: {self._not_read:,} step line(s) out of order, the first at step "
                f"{self._first_not_read:,}, where the run did not begin again (a step told twice, "
                "or another rank without a mark)"
            )
        return ParsedLog(
            source,
            format,
            {name: whole[name] for life in lives for name in life if len(whole[name])},
            tuple(self._restarts),
            tuple(lives),
            notes=tuple(notes),
        )


def _series(name: str, told: array.array[int], values: array.array[float]) -> Series:
    steps, column = np.frombuffer(told, np.int64), np.frombuffer(values, np.float64)
    if not (steps[1:] > steps[:-1]).all():
        steps, places = np.unique(steps, return_index=True)
        column = column[places]
    return Series(name, steps, column)
