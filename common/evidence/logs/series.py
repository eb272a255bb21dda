"""What a log says, as typed arrays: series by name, restarts and ranks told apart."""

from __future__ import annotations

import array
import bisect
import dataclasses
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError

_RANKS_APART = 3  # step lines by which a rank may be behind another
_NOT_READ = -1
_MOST_LIVES = 1000


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

    def until(self, step: int, later: Optional[Series] = None) -> Series:
        """The part before a step, and then a later life's values."""
        end = int(np.searchsorted(self.steps, step))
        steps, values = self.steps[:end], self.values[:end]
        if later is not None:
            steps = np.concatenate([steps, later.steps])
            values = np.concatenate([values, later.values])
        return Series(self.name, steps, values)


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
        found, known = "several" if fitting else "no", ", ".join(sorted(fitting or self.series))
        raise ZooError(f"{self.source} has {found} series {name!r}; there are: {known or 'none'}")


class _Column:
    """One series as it is read: steps, values, and after how many step lines; 20 bytes a value."""

    def __init__(self, of_steps: bool) -> None:
        self.of_steps = of_steps
        self.steps, self.values, self.rows = array.array("q"), array.array("d"), array.array("i")


class Observations:
    """What a log tells while it is read, in its order; the series are made at its end.

    Attributes:
        step: where the log stands.
        telling: how many values tell of a training.
    """

    def __init__(self, one_writer: bool) -> None:
        self.step = self.telling = 0
        self._one_writer = one_writer
        self._rows = array.array("q")  # the steps of all step lines
        self._begins: Dict[int, Optional[int]] = {}  # by row the step that a new life keeps
        self._columns: Dict[str, _Column] = {}

    def begin(self, kept_until: Optional[int]) -> None:
        """The run begins, again perhaps, after the step that it keeps, if it tells one."""
        self._begins[len(self._rows)] = kept_until

    def step_line(self, step: int, values: Iterable[Tuple[str, float]]) -> None:
        """The run has come to a step."""
        self.step = step
        self._rows.append(step)
        self.put(step, values, True)

    def put(
        self, step: int, values: Iterable[Tuple[str, float]], of_step_line: bool = False
    ) -> None:
        """Takes values that belong to a step."""
        row, columns = len(self._rows) - 1, self._columns
        for name, value in values:
            if name not in columns:
                columns[name] = _Column(of_step_line)
            column = columns[name]
            column.steps.append(step)
            column.values.append(value)
            column.rows.append(row)

    def parsed(self, source: str, format: str) -> ParsedLog:
        """The log's series; what is told twice of a step in one life counts once."""
        placed, restarts = self._lives()
        lives = [self._life(placed, number) for number in range(len(restarts) + 1)]
        whole = dict(lives[0])
        for life, restart in zip(lives[1:], restarts):
            for name, series in whole.items():
                whole[name] = series.until(restart.first_step, life.get(name))
            whole = {**life, **whole}
        notes = []
        for first, after in map(dataclasses.astuple, restarts):
            replaced = "; the earlier life's steps from there on are replaced"
            told = f"the run began again at step {first:,} after step {after:,}"
            notes.append(told + replaced * (first <= after))
        twice = np.flatnonzero(np.zeros(0) if placed is None else placed == _NOT_READ)
        if len(twice):
            notes.append(
                f"not read: {len(twice):,} step line(s) out of order, the first at step "
                f"{self._rows[twice[0]]:,}, where the run did not begin again (a step told twice, "
                "or another rank without a mark)"
            )
        return ParsedLog(
            source,
            format,
            {name: whole[name] for life in lives for name in life if len(whole[name])},
            tuple(restarts),
            tuple(lives),
            notes=tuple(notes),
        )

    def _lives(self) -> Tuple[Optional[np.ndarray], List[Restart]]:
        """The life of each step line, _NOT_READ for one of another rank; where lives began anew.

        None where all are of one life.

        A step that goes back is a restart, or where it goes back by a few lines only, as ranks do
        that wait for each other, another rank's.
        """
        steps = np.frombuffer(self._rows, np.int64)
        if (steps[1:] > steps[:-1]).all() and not any(0 < row < len(steps) for row in self._begins):
            return None, []
        placed = np.zeros(len(steps), np.intc)
        restarts: List[Restart] = []
        told: List[int] = []  # the steps of the present life
        for row, step in enumerate(self._rows):
            back = 0 if self._one_writer else len(told) - bisect.bisect_left(told, step)
            begins = row in self._begins or back > _RANKS_APART
            if told and begins and len(restarts) < _MOST_LIVES - 1:
                kept = self._begins.get(row)
                first = step if kept is None else min(step, kept + 1)
                restarts.append(Restart(first, told[-1]))
                told = []
            elif back:
                placed[row] = _NOT_READ
                continue
            placed[row] = len(restarts)
            told.append(step)
        return placed, restarts

    def _life(self, placed: Optional[np.ndarray], number: int) -> Dict[str, Series]:
        found = {}
        for name, column in self._columns.items():
            steps = np.frombuffer(column.steps, np.int64)
            values = np.frombuffer(column.values, np.float64)
            if placed is not None:
                life_of = placed if column.of_steps else np.maximum.accumulate(placed)
                mine = life_of[np.maximum(np.frombuffer(column.rows, np.intc), 0)] == number
                steps, values = steps[mine], values[mine]
            if not (steps[1:] > steps[:-1]).all():
                steps, places = np.unique(steps, return_index=True)
                values = values[places]
            if len(steps):
                found[name] = Series(name, steps, values)
        return found
