"""What a log says, as typed arrays: series by name, restarts and ranks told apart."""

from __future__ import annotations

import array
import dataclasses
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError

# Writers that may still go on at once, and that are told apart at all: more are no ranks of a job.
_GOING_ON, _MOST_WRITERS = 64, 1000
_SILENCE = 512  # a writer that was silent for so many step lines of others has ended
_NOBODY = -1


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


@dataclasses.dataclass
class _Writer:
    """One process's way through the steps: a life of the run, or another rank.

    Attributes:
        counts_from: the first step at which it replaces earlier writers.
        opened, last_row: the numbers of its first and last line among all step lines.
        stride: from its last step but one to its last, 0 before the second.
    """

    first_step: int
    counts_from: int
    opened: int
    last_step: int
    last_row: int
    stride: int = 0
    rows: int = 1


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
        """The log's series.

        Of several unmarked ranks only the first one's step lines count; other lines do not tell
        whose they are, and what several ranks say of one step counts once.
        """
        placed, writers = self._placed()
        chain: List[int] = []  # the lives: the first writer, then each that began when it had ended
        for number, writer in enumerate(writers):
            if not chain or writer.opened > writers[chain[-1]].last_row:
                chain.append(number)
        ends = chain[1:] + [len(writers)]
        lives = [self._life(placed, first, end) for first, end in zip(chain or [0], ends)]
        restarts = [
            Restart(writers[later].counts_from, writers[earlier].last_step)
            for earlier, later in zip(chain, chain[1:])
        ]
        whole = dict(lives[0])
        for life, restart in zip(lives[1:], restarts):
            for name, series in whole.items():
                whole[name] = series.until(restart.first_step, life.get(name))
            whole = {**life, **whole}
        others = [writers[number] for number in sorted(set(range(len(writers))).difference(chain))]
        unplaced = 0 if placed is None else int((placed == _NOBODY).sum())
        return ParsedLog(
            source,
            format,
            {name: whole[name] for life in lives for name in life if len(whole[name])},
            tuple(restarts),
            tuple(lives),
            notes=tuple(_notes(restarts, others, unplaced)),
        )

    def _placed(self) -> Tuple[Optional[np.ndarray], List[_Writer]]:
        """Each step line's writer, and the writers; None where all are one's.

        A step that goes back opens a writer; if the one before goes on afterwards, they were two
        ranks, if not, it was a restart. A line is of the writer whose stride leads to it, else of
        the most recent one that it may go on.
        """
        placed = array.array("i")
        writers: List[_Writer] = []
        steps = np.frombuffer(self._rows, np.int64)
        if (steps[1:] > steps[:-1]).all() and not any(0 < row < len(steps) for row in self._begins):
            return None, writers
        open_: List[int] = []  # the most recently active one last
        kept: Optional[int] = None
        for row, step in enumerate(self._rows):
            if row in self._begins:
                open_, kept = [], self._begins[row]
            chosen: Optional[int] = None
            for number in reversed(open_):
                writer = writers[number]
                if self._one_writer:
                    chosen = number
                    break
                if writer.last_step >= step or row - writer.last_row > _SILENCE:
                    continue
                if writer.last_step + writer.stride == step:
                    chosen = number
                    break
                if chosen is None:
                    chosen = number
            if chosen is None and len(writers) >= _MOST_WRITERS:
                chosen = _NOBODY
            elif chosen is None:
                first = step if kept is None else min(step, kept + 1)
                chosen, kept = len(writers), None
                writers.append(_Writer(step, first, row, step, row))
                open_ = open_[1 - _GOING_ON :] + [chosen]
            else:
                writer = writers[chosen]
                writer.stride, writer.last_step = step - writer.last_step, step
                writer.last_row, writer.rows = row, writer.rows + 1
                if open_[-1] != chosen:
                    open_.remove(chosen)
                    open_.append(chosen)
            placed.append(chosen)
        return np.frombuffer(placed, np.intc), writers

    def _life(self, placed: Optional[np.ndarray], first: int, end: int) -> Dict[str, Series]:
        found = {}
        for name, column in self._columns.items():
            steps = np.frombuffer(column.steps, np.int64)
            values = np.frombuffer(column.values, np.float64)
            if placed is not None:
                of = placed[np.maximum(np.frombuffer(column.rows, np.intc), 0)]
                mine = of == first if column.of_steps else (of >= first) & (of < end)
                steps, values = steps[mine], values[mine]
            if not (steps[1:] > steps[:-1]).all():
                steps, places = np.unique(steps, return_index=True)
                values = values[places]
            if len(steps):
                found[name] = Series(name, steps, values)
        return found


def _notes(restarts: List[Restart], others: List[_Writer], unplaced: int) -> Iterator[str]:
    for restart in restarts:
        replaced = "; the earlier life's steps from there on are replaced"
        yield (
            f"the run began again at step {restart.first_step:,} after step {restart.after_step:,}"
            f"{replaced if restart.first_step <= restart.after_step else ''}"
        )
    if others:
        yield (
            f"not read: {sum(writer.rows for writer in others):,} step line(s) out of "
            f"order, the first at step {others[0].first_step:,}, where the run "
            "did not begin again (a step told twice, or another rank without a mark)"
        )
    if unplaced:
        yield f"{unplaced:,} step lines are too much out of order to be placed"
