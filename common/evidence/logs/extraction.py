"""From blocks to rows: every value with its step, its writer and the series it belongs to."""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.cards.line_template import EPOCH, ITERATION, ITERATIONS, STEP
from common.cards.log_format import LineRule, LogFormat
from common.evidence.logs.blocks import Block
from common.evidence.logs.matching import Matches, find_lines, told_values
from common.evidence.logs.writers import NOBODY, Writers

# How launchers mark a rank's lines: torchrun, mpirun, horovodrun, srun --label, and plain words.
_RANK = re.compile(
    rb"\[(?:default|rank ?)?(?:[0-9]{1,6},)?([0-9]{1,6})\](?:<std(?:out|err)>)?[: ]"
    rb"|[(\[]?rank[ :=]{0,2}([0-9]{1,6})[)\]]?[ :|]|([0-9]{1,6}): ",
    re.IGNORECASE,
)
_BEGINS_MARK = np.zeros(256, bool)
_BEGINS_MARK[[ord(letter) for letter in "[(rR0123456789"]] = True
NO_RANK = -1
_MOST_STEPS = float(2**53)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Values of one series from one block: (N,) int64 steps, float64 values, int16 writers."""

    name: str
    steps: np.ndarray
    values: np.ndarray
    writers: np.ndarray


@dataclasses.dataclass
class _Before:
    """Where the log stands at the end of a block: step, writer, steps in an epoch (0 unknown)."""

    step: int = 0
    writer: int = 0
    iterations: int = 0


@dataclasses.dataclass(frozen=True)
class _StepLines:
    """The step lines of a block, after one for what came before it; all (1 + N,)."""

    places: np.ndarray
    steps: np.ndarray
    writers: np.ndarray
    iterations: np.ndarray

    def before(self, places: np.ndarray) -> np.ndarray:
        """The last step line before each place."""
        return np.asarray(np.searchsorted(self.places, places) - 1)


class Extractor:
    """Reads the blocks of one log in turn; keeps only what the next block needs.

    Args:
        rank: whose lines are read where lines are marked with ranks; None for the lowest one of
            the first block that has marks.
    """

    def __init__(self, form: LogFormat, rank: Optional[int] = None) -> None:
        self.form = form
        self.rank = rank
        self.ranks: Dict[int, int] = {}
        self.writers = Writers(form.one_writer)
        self._before = _Before()

    def rows(self, block: Block) -> Iterator[Rows]:
        """The values of a block."""
        found = [(rule, self._of_rank(block, find_lines(block, rule))) for rule in self.form.lines]
        lines = _with_steps(found[0][1])
        later = [(rule, matches) for rule, matches in found[1:] if len(matches)]
        steps = _own_steps(lines) if len(lines) else np.zeros(0, np.int64)
        writers = self._placed(lines.positions, steps, later)
        yield from _rows_of(found[0][0], lines, steps, writers)
        told = self._told(lines, steps, writers)
        anchors = self._anchors(told, later)
        for rule, matches in later:
            if not rule.restart:
                at = _steps_of(rule, matches, anchors, told)
                yield from _rows_of(rule, matches, at, told.writers[told.before(matches.positions)])
        self._before = _Before(int(anchors[1][-1]), int(told.writers[-1]), int(told.iterations[-1]))

    def _of_rank(self, block: Block, matches: Matches) -> Matches:
        """The matches of the one rank that is read; the lines of all ranks are counted."""
        if not len(matches):
            return matches
        ranks = _ranks(block, matches.positions)
        if ranks is None:
            return matches
        for rank, count in zip(*np.unique(ranks, return_counts=True)):
            if rank != NO_RANK:
                self.ranks[int(rank)] = self.ranks.get(int(rank), 0) + int(count)
        if self.rank is None and self.ranks:
            self.rank = min(self.ranks)
        return matches.kept((ranks == self.rank) | (ranks == NO_RANK))

    def _placed(
        self, positions: np.ndarray, steps: np.ndarray, later: Sequence[Tuple[LineRule, Matches]]
    ) -> np.ndarray:
        """The writers of the step lines, begun anew at each line that says so."""
        marks: List[Tuple[int, Optional[int]]] = []
        for rule, matches in later:
            if rule.restart:
                kept = matches.values[STEP] if STEP in matches.values else [None] * len(matches)
                marks += zip(matches.positions.tolist(), kept)
        placed, done = [], 0
        for place, kept_until in sorted(marks, key=lambda mark: mark[0]):
            reached = int(np.searchsorted(positions, place))
            placed.append(self.writers.place(steps[done:reached]))
            done = reached
            self.writers.begin_again(None if kept_until is None else int(kept_until))
        placed.append(self.writers.place(steps[done:]))
        return np.concatenate(placed)

    def _told(self, lines: Matches, steps: np.ndarray, writers: np.ndarray) -> _StepLines:
        before = self._before
        iterations = lines.values.get(ITERATIONS, np.full(len(lines), before.iterations))
        return _StepLines(
            *(
                np.concatenate([np.full(1, first), rest])
                for first, rest in (
                    (-1, lines.positions),
                    (before.step, steps),
                    (before.writer, writers),
                    (before.iterations, iterations),
                )
            )
        )

    @staticmethod
    def _anchors(
        told: _StepLines, later: Sequence[Tuple[LineRule, Matches]]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Where the log tells a step and which, ascending: step lines and ends of epochs."""
        places, steps = [told.places], [told.steps]
        for rule, matches in later:
            if not rule.tells_step and EPOCH in matches.values:
                places.append(matches.positions)
                steps.append(_ends_of_epochs(matches, told))
        place, step = np.concatenate(places), np.concatenate(steps)
        order = np.argsort(place, kind="stable")
        return place[order], step[order]


def _with_steps(lines: Matches) -> Matches:
    """The step lines whose numbers make a step."""
    if not len(lines) or STEP in lines.values:
        return lines
    epoch, iteration, iterations = (lines.values[name] for name in (EPOCH, ITERATION, ITERATIONS))
    return lines.kept(
        (epoch > 0)
        & (iteration <= iterations)
        & (epoch.astype(np.float64) * iterations < _MOST_STEPS)
    )


def _own_steps(matches: Matches) -> np.ndarray:
    """The steps that lines tell themselves."""
    if STEP in matches.values:
        return matches.values[STEP]
    return np.asarray(
        (matches.values[EPOCH] - 1) * matches.values[ITERATIONS] + matches.values[ITERATION]
    )


def _ends_of_epochs(matches: Matches, told: _StepLines) -> np.ndarray:
    """The last steps of the epochs that lines are about; the step before where it is unknown."""
    before = told.before(matches.positions)
    epoch, length = matches.values[EPOCH], told.iterations[before]
    known = (length > 0) & (epoch.astype(np.float64) * length < _MOST_STEPS)
    return np.where(known, epoch * np.where(known, length, 0), told.steps[before])


def _steps_of(
    rule: LineRule, matches: Matches, anchors: Tuple[np.ndarray, np.ndarray], told: _StepLines
) -> np.ndarray:
    """The steps of lines: their own, their epoch's last, or the one told before."""
    if rule.tells_step:
        return _own_steps(matches)
    if EPOCH in matches.values:
        return _ends_of_epochs(matches, told)
    return np.asarray(anchors[1][np.searchsorted(anchors[0], matches.positions) - 1])


def _rows_of(
    rule: LineRule, matches: Matches, steps: np.ndarray, writers: np.ndarray
) -> Iterator[Rows]:
    if not len(matches):
        return
    if matches.metrics:
        yield from _metric_rows(rule, matches, steps, writers)
    for name, values, given in told_values(matches, rule):
        kept = np.flatnonzero(given & (writers != NOBODY))
        for prefix, rows in _by_prefix(rule, matches, kept):
            if len(rows) == len(steps):
                yield Rows(prefix + name, steps, values, writers)
            elif len(rows):
                yield Rows(prefix + name, steps[rows], values[rows], writers[rows])


def _by_prefix(
    rule: LineRule, matches: Matches, kept: np.ndarray
) -> Iterator[Tuple[str, np.ndarray]]:
    """The rows by the prefix that their words make."""
    if not matches.words:
        yield rule.prefix.format(), kept
        return
    prefixes: Dict[str, List[int]] = {}
    for row in kept.tolist():
        prefixes.setdefault(_prefix(rule, matches, row), []).append(row)
    for prefix, rows in prefixes.items():
        yield prefix, np.array(rows, np.int64)


def _prefix(rule: LineRule, matches: Matches, row: int) -> str:
    return rule.prefix.format(**{name: texts[row] for name, texts in matches.words.items()})


def _metric_rows(
    rule: LineRule, matches: Matches, steps: np.ndarray, writers: np.ndarray
) -> Iterator[Rows]:
    for row, pairs in enumerate(matches.metrics):
        for name, value in pairs:
            if writers[row] != NOBODY:
                yield Rows(
                    _prefix(rule, matches, row) + name,
                    steps[row : row + 1],
                    np.array([value]),
                    writers[row : row + 1],
                )


def _ranks(block: Block, positions: np.ndarray) -> Optional[np.ndarray]:
    """The rank that each line is marked with, NO_RANK without a mark; None where no line is."""
    starts = block.line_starts(positions)
    candidates = np.flatnonzero(_BEGINS_MARK[block.array[starts]] & (starts < positions))
    if not len(candidates):
        return None
    ranks = np.full(len(positions), NO_RANK)
    for row in candidates.tolist():
        found = _RANK.match(block.text, int(starts[row]), int(positions[row]))
        if found is not None:
            ranks[row] = int(found.group(1) or found.group(2) or found.group(3))
    return None if (ranks == NO_RANK).all() else ranks
