"""Follows a log line by line: whose line it is, and which series its values belong to."""

from __future__ import annotations

import array
import dataclasses
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from common.evidence.logs.series import Restart, Series

# Writers that may still go on, and writers that are told apart at all: more are no ranks of a job.
_GOING_ON = 64
_MOST_WRITERS = 1000
# A writer that was silent for so many step lines of others has ended.
_SILENCE = 512
_NOBODY = -1


@dataclasses.dataclass
class Writer:
    """One process's way through the steps.

    Attributes:
        first_step, last_step: of its lines so far.
        opened, last_row: the numbers of its first and last line among all step lines.
        counts_from: the first step at which it replaces earlier writers.
        stride: from its last line but one to its last, 0 before the second.
        rows: how many lines it has.
    """

    first_step: int
    last_step: int
    opened: int
    last_row: int
    counts_from: int
    stride: int = 0
    rows: int = 1


class Writers:
    """Gives each step line a writer.

    A step that goes back may come from a run that began again or from another rank that writes
    into the same file. It opens a writer; if the one before goes on afterwards, they were two
    ranks, if not, it was a restart.
    """

    def __init__(self, one_writer: bool) -> None:
        self.all: List[Writer] = []
        self.unplaced = 0
        self._one_writer = one_writer
        self._going_on: List[int] = []  # the most recently active one last
        self._rows = 0
        self._kept_until: Optional[int] = None

    def begin_again(self, kept_until: Optional[int]) -> None:
        """Takes a line that says that a run begins, after the step it keeps, if it tells one."""
        self._going_on = []
        self._kept_until = kept_until

    def place(self, step: int) -> int:
        """The writer, as its number in `all`, of the next step line."""
        row = self._rows
        self._rows += 1
        chosen = self._fitting(step, row)
        if chosen is None:
            return self._opened(step, row)
        writer = self.all[chosen]
        writer.stride, writer.last_step, writer.last_row = step - writer.last_step, step, row
        writer.rows += 1
        if self._going_on[-1] != chosen:
            self._going_on.remove(chosen)
            self._going_on.append(chosen)
        return chosen

    def _opened(self, step: int, row: int) -> int:
        if len(self.all) >= _MOST_WRITERS:
            self.unplaced += 1
            return _NOBODY
        kept = step if self._kept_until is None else self._kept_until + 1
        self.all.append(Writer(step, step, row, row, min(step, kept)))
        self._kept_until = None
        self._going_on = self._going_on[-(_GOING_ON - 1) :] + [len(self.all) - 1]
        return len(self.all) - 1

    def _fitting(self, step: int, row: int) -> Optional[int]:
        """The writer that goes on with this step: by its stride, else the most recent one."""
        most_recent = None
        for number in reversed(self._going_on):
            writer = self.all[number]
            if self._one_writer:
                return number
            if writer.last_step < step and row - writer.last_row <= _SILENCE:
                if writer.last_step + writer.stride == step:
                    return number
                most_recent = number if most_recent is None else most_recent
        return most_recent

    def lives(self) -> Tuple[int, ...]:
        """The writers of one run in a row: the first, then each that began when it had ended."""
        chain = [0]
        for number, writer in enumerate(self.all):
            if number and writer.opened > self.all[chain[-1]].last_row:
                chain.append(number)
        return tuple(chain)

    def restarts(self) -> Tuple[Restart, ...]:
        """Where each life after the first one begins."""
        chain = [self.all[number] for number in self.lives()[1:]]
        before = [self.all[number] for number in self.lives()[:-1]]
        return tuple(
            Restart(later.counts_from, earlier.last_step) for earlier, later in zip(before, chain)
        )


class _Column:
    """Steps, values and writers of one series: 18 bytes a value."""

    def __init__(self, of_steps: bool) -> None:
        self.of_steps = of_steps
        self.steps, self.values = array.array("q"), array.array("d")
        self.writers = array.array("h")

    def of(self, name: str, writers: Sequence[int]) -> Optional[Series]:
        """Some writers' part by step; of a step told twice the first value. None without any."""
        steps = np.frombuffer(self.steps, np.int64)
        values = np.frombuffer(self.values, np.float64)
        mine = np.isin(np.frombuffer(self.writers, np.int16), writers)
        if not mine.all():
            steps, values = steps[mine], values[mine]
        if not len(steps):
            return None
        if not (steps[1:] > steps[:-1]).all():
            steps, first = np.unique(steps, return_index=True)
            values = values[first]
        return Series(name, steps, values)


class Follower:
    """The series of one log while it is read; `step` is where the log stands."""

    def __init__(self, one_writer: bool = False) -> None:
        self.writers = Writers(one_writer)
        self.step = 0
        self._writer = 0
        self._columns: Dict[str, _Column] = {}

    def step_line(self, step: int, values: Iterable[Tuple[str, float]]) -> None:
        """Takes a line that tells that the run has come to a step."""
        self.step, self._writer = step, self.writers.place(step)
        self._put(step, values, True)

    def other_line(self, step: int, values: Iterable[Tuple[str, float]]) -> None:
        """Takes values that belong to a step."""
        self._put(step, values, False)

    def _put(self, step: int, values: Iterable[Tuple[str, float]], of_steps: bool) -> None:
        writer, columns = self._writer, self._columns
        if writer == _NOBODY:
            return
        for name, value in values:
            if name not in columns:
                columns[name] = _Column(of_steps)
            column = columns[name]
            column.steps.append(step)
            column.values.append(value)
            column.writers.append(writer)

    def lives(self) -> List[Dict[str, Series]]:
        """The series of each life of the run.

        Of several unmarked ranks only the first one's step lines count; other lines do not tell
        whose they are, and what several ranks say of one step counts once.
        """
        chain = self.writers.lives()
        ends = list(chain[1:]) + [max(len(self.writers.all), 1)]
        found: List[Dict[str, Series]] = []
        for first, end in zip(chain, ends):
            parts = {
                name: column.of(name, [first] if column.of_steps else range(first, end))
                for name, column in self._columns.items()
            }
            found.append({name: part for name, part in parts.items() if part is not None})
        return found
