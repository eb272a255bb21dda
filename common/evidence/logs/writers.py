"""Who wrote which step: tells restarts within one log from ranks that write into each other."""

from __future__ import annotations

import dataclasses
from typing import List, Optional, Tuple

import numpy as np

# Writers that may still go on, and writers that are told apart at all: more are no ranks of a job.
_GOING_ON = 64
MOST_WRITERS = 1000
# A writer that was silent for so many step lines of others has ended.
_SILENCE = 512
NOBODY = -1


@dataclasses.dataclass
class Writer:
    """One process's way through the steps.

    Attributes:
        first_step, last_step: of its lines so far.
        stride: from its last line but one to its last, 0 before the second.
        opened, last_row: the numbers of its first and last line among all step lines.
        kept_before: the step from which on it counts, where a line told; else None.
        rows: how many lines it has.
    """

    first_step: int
    last_step: int
    opened: int
    last_row: int
    kept_before: Optional[int] = None
    stride: int = 0
    rows: int = 1

    def takes(self, step: int, row: int) -> None:
        """One more line."""
        self.stride = step - self.last_step
        self.last_step, self.last_row = step, row
        self.rows += 1

    @property
    def counts_from(self) -> int:
        """The first step at which this writer replaces earlier ones."""
        return (
            self.first_step if self.kept_before is None else min(self.first_step, self.kept_before)
        )


class Writers:
    """Gives each step line a writer.

    A step that goes back may come from a run that began again or from another rank that writes
    into the same file. It opens a writer; if the one before goes on afterwards, they were two
    ranks, if not, it was a restart.
    """

    def __init__(self, one_writer: bool) -> None:
        self.one_writer = one_writer
        self.all: List[Writer] = []
        self.unplaced = 0
        self._going_on: List[int] = []  # the most recently active one last
        self._rows = 0
        self._mark: Optional[int] = None

    def begin_again(self, kept_until: Optional[int]) -> None:
        """Takes a line that says that a run begins, after the step it keeps, if it tells one."""
        self._going_on = []
        self._mark = None if kept_until is None else kept_until + 1

    def place(self, steps: np.ndarray) -> np.ndarray:
        """The writers, (N,) int16 into `all`, of step lines in the file's order."""
        if not len(steps):
            return np.zeros(0, np.int16)
        if self.one_writer:
            return self._all_to_one(steps)
        self._going_on = [
            number
            for number in self._going_on
            if self._rows - self.all[number].last_row <= _SILENCE
        ]
        rising = bool((steps[1:] > steps[:-1]).all())
        current = self.all[self._going_on[-1]] if self._going_on else None
        alone = len(self._going_on) < 2 and (current is None or current.last_step < steps[0])
        if rising and alone:
            return self._all_to_one(steps)
        return np.array([self._place_one(int(step)) for step in steps], np.int16)

    def _all_to_one(self, steps: np.ndarray) -> np.ndarray:
        if not self._going_on:
            self._place_one(int(steps[0]))
            first, steps_left = self._going_on[-1] if self._going_on else NOBODY, steps[1:]
        else:
            first, steps_left = self._going_on[-1], steps
        if first != NOBODY and len(steps_left):
            writer = self.all[first]
            stride = int(steps[-1] - steps[-2]) if len(steps) > 1 else 0
            self._rows += len(steps_left)
            writer.last_step, writer.last_row = int(steps_left[-1]), self._rows - 1
            writer.stride = stride or writer.stride
            writer.rows += len(steps_left)
        return np.full(len(steps), first, np.int16)

    def _place_one(self, step: int) -> int:
        chosen = self._fitting(step)
        row = self._rows
        self._rows += 1
        if chosen is not None:
            self._going_on.remove(chosen)
            self._going_on.append(chosen)
            self.all[chosen].takes(step, row)
            return chosen
        if len(self.all) >= MOST_WRITERS:
            self.unplaced += 1
            return NOBODY
        self.all.append(Writer(step, step, row, row, self._mark))
        self._mark = None
        self._going_on = self._going_on[-(_GOING_ON - 1) :] + [len(self.all) - 1]
        return len(self.all) - 1

    def _fitting(self, step: int) -> Optional[int]:
        """The writer that goes on with this step: by its stride, else the most recent one."""
        behind = [
            number for number in reversed(self._going_on) if self.all[number].last_step < step
        ]
        for number in behind:
            writer = self.all[number]
            if writer.last_step + writer.stride == step:
                return number
        return behind[0] if behind else None

    def lives(self) -> Tuple[int, ...]:
        """The writers of one run in a row: the first, then each that began when it had ended."""
        chain = [0]
        for number, writer in enumerate(self.all):
            if number and writer.opened > self.all[chain[-1]].last_row:
                chain.append(number)
        return tuple(chain)
