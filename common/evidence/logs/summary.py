"""What a log comes to, in constant memory: no value is kept but the last few."""

from __future__ import annotations

import collections
import dataclasses
import math
from pathlib import Path
from typing import Deque, Dict, List, Optional, Sequence, Tuple

import numpy as np

from common.cards.log_format import LogFormat
from common.evidence.logs.extraction import Rows
from common.evidence.logs.reading import LogStream, restarts_of
from common.evidence.logs.series import ParsedLog, Restart

RECENT = 50


@dataclasses.dataclass(frozen=True)
class SeriesSummary:
    """One series of one life; NaN and infinities are counted and left out of the figures.

    Attributes:
        smallest, largest: (value, step); None without a finite value, and so is mean.
        recent_mean, recent_deviation: of the last `recent` finite values, at most RECENT.
    """

    name: str
    count: int
    first_step: int
    last_step: int
    first: float
    last: float
    smallest: Optional[Tuple[float, int]]
    largest: Optional[Tuple[float, int]]
    mean: Optional[float]
    recent: int
    recent_mean: Optional[float]
    recent_deviation: Optional[float]
    not_finite: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """A log's series by name, for each life of the run; restarts lie between the lives.

    lines counts those of the file, 0 where there is no log but a record.
    """

    source: str
    format: str
    lines: int
    lives: Tuple[Dict[str, SeriesSummary], ...]
    restarts: Tuple[Restart, ...]
    ranks: Tuple[int, ...]
    notes: Tuple[str, ...]


def summarise_log(
    path: Path,
    format: Optional[str] = None,
    formats: Optional[Sequence[LogFormat]] = None,
    rank: Optional[int] = None,
) -> Summary:
    """Reads a log in one pass and constant memory; arguments and errors as read_log's."""
    stream = LogStream(Path(path), format, formats, rank)
    found: Dict[Tuple[int, str], RunningSummary] = {}
    for block in stream.blocks():
        for rows in stream.extractor.rows(block):
            _take(found, rows)
    writers = stream.extractor.writers
    chain = writers.lives()
    lives: List[Dict[str, SeriesSummary]] = [{} for _ in chain]
    for (writer, name), running in found.items():
        if writer in chain:
            lives[chain.index(writer)][name] = running.done(name)
    return Summary(
        str(path),
        stream.extractor.form.name,
        stream.lines,
        tuple(lives),
        restarts_of(writers, chain),
        tuple(sorted(stream.extractor.ranks)),
        tuple(stream.all_notes()),
    )


def summary_of(log: ParsedLog) -> Summary:
    """The summary of series that are at hand already."""
    lives: List[Dict[str, SeriesSummary]] = []
    for life in log.lives:
        lives.append({})
        for name, series in life.items():
            running = RunningSummary()
            running.add(series.steps, series.values)
            lives[-1][name] = running.done(name)
    return Summary(log.source, log.format, 0, tuple(lives), log.restarts, log.ranks, log.notes)


def _take(found: Dict[Tuple[int, str], RunningSummary], rows: Rows) -> None:
    first = int(rows.writers[0])
    writers = [first] if (rows.writers == first).all() else np.unique(rows.writers).tolist()
    for writer in writers:
        mine = slice(None) if len(writers) == 1 else rows.writers == writer
        found.setdefault((writer, rows.name), RunningSummary()).add(
            rows.steps[mine], rows.values[mine]
        )


class RunningSummary:
    """The figures of one series so far."""

    def __init__(self) -> None:
        self._count = self._not_finite = 0
        self._total = 0.0
        self._ends: List[Tuple[int, float]] = []
        self._smallest: Optional[Tuple[float, int]] = None
        self._largest: Optional[Tuple[float, int]] = None
        self._recent: Deque[float] = collections.deque(maxlen=RECENT)

    def add(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Takes the next values."""
        self._count += len(values)
        self._ends = (self._ends or [(int(steps[0]), float(values[0]))])[:1]
        self._ends.append((int(steps[-1]), float(values[-1])))
        finite = np.isfinite(values)
        self._not_finite += int(len(values) - finite.sum())
        if not finite.all():
            steps, values = steps[finite], values[finite]
        if not len(values):
            return
        self._total += float(values.sum())
        self._recent.extend(values[-RECENT:].tolist())
        low, high = int(values.argmin()), int(values.argmax())
        if self._smallest is None or values[low] < self._smallest[0]:
            self._smallest = (float(values[low]), int(steps[low]))
        if self._largest is None or values[high] > self._largest[0]:
            self._largest = (float(values[high]), int(steps[high]))

    def done(self, name: str) -> SeriesSummary:
        """The figures of all values."""
        finite, recent = self._count - self._not_finite, list(self._recent)
        mean = math.fsum(recent) / len(recent) if recent else None
        squares = math.fsum((value - (mean or 0.0)) ** 2 for value in recent)
        return SeriesSummary(
            name,
            self._count,
            self._ends[0][0],
            self._ends[-1][0],
            self._ends[0][1],
            self._ends[-1][1],
            self._smallest,
            self._largest,
            self._total / finite if finite else None,
            len(recent),
            mean,
            math.sqrt(squares / (len(recent) - 1)) if len(recent) > 1 else None,
            self._not_finite,
        )
