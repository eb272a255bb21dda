"""What a log comes to, life by life, as text and as JSON; its series as JSON and CSV."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.codec import plain
from common.core.text import aligned
from common.evidence.logs.series import ParsedLog, Series

RECENT = 50
_HEADINGS = "series values steps first last smallest_(step) largest_(step) mean_of_the_last"
_CLOCKS = ("elapsed_seconds", "unix_time", "epoch")  # whose mean says nothing


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


def summary_of(series: Series) -> SeriesSummary:
    """The figures of a series that has values."""
    finite = np.isfinite(series.values)
    steps, values = series.steps[finite], series.values[finite]
    places = (int(values.argmin()), int(values.argmax())) if len(values) else ()
    low, high = [(float(values[at]), int(steps[at])) for at in places] or (None, None)
    recent = values[-RECENT:]
    return SeriesSummary(
        name=series.name,
        count=len(series),
        first_step=int(series.steps[0]),
        last_step=int(series.steps[-1]),
        first=float(series.values[0]),
        last=float(series.values[-1]),
        smallest=low,
        largest=high,
        mean=float(values.mean()) if len(values) else None,
        recent=len(recent),
        recent_mean=float(recent.mean()) if len(recent) else None,
        recent_deviation=float(recent.std(ddof=1)) if len(recent) > 1 else None,
        not_finite=len(series) - len(values),
    )


def summary_lines(log: ParsedLog) -> Iterator[str]:
    """A summary as text: a table for each life, then the notes."""
    yield f"{log.source}: {log.format}, {log.lines:,} lines"
    for number, life in enumerate(log.lives):
        if len(log.lives) > 1:
            began = f", from step {log.restarts[number - 1].first_step:,}" if number else ""
            yield f"\nlife {number + 1} of {len(log.lives)}{began}"
        rows = [[name.replace("_", " ") for name in _HEADINGS.split()]]
        rows += [_cells(summary_of(series)) for series in life.values()]
        yield aligned([["", *row] for row in rows])
        elapsed = life.get("elapsed_seconds")
        if elapsed is not None and len(elapsed) > 1:
            first, last = int(elapsed.steps[0]), int(elapsed.steps[-1])
            pace = float(elapsed.values[-1] - elapsed.values[0]) / (last - first)
            between = f"the elapsed time between steps {first:,} and {last:,}"
            yield f"pace: {pace:.6g} s a step, from {between}"
    for note in log.notes:
        yield "note: " + note


def _cells(series: SeriesSummary) -> List[str]:
    steps = f"{series.first_step:,}"
    if series.first_step != series.last_step:
        steps += f" to {series.last_step:,}"
    count = f"{series.count:,}"
    if series.not_finite:
        count += f" ({series.not_finite:,} not finite)"
    recent = "-"
    if series.recent > 1 and series.name not in _CLOCKS:
        mean, deviation = _short(series.recent_mean), _short(series.recent_deviation)
        recent = f"{series.recent:,}: {mean} ± {deviation}"
    extremes = [
        "-" if found is None else f"{_short(found[0])} ({found[1]:,})"
        for found in (series.smallest, series.largest)
    ]
    return [series.name, count, steps, _short(series.first), _short(series.last), *extremes, recent]


def _short(value: Optional[float]) -> str:
    if value is None:
        return "-"
    whole = math.isfinite(value) and value == int(value) and abs(value) < 1e15
    return str(int(value)) if whole else f"{value:.6g}"


def summary_as_json(log: ParsedLog) -> Dict[str, Any]:
    """A summary as JSON can hold it: NaN and infinities as texts, as in the run log."""
    lives: List[Mapping[str, SeriesSummary]] = [
        {name: summary_of(series) for name, series in life.items()} for life in log.lives
    ]
    return dict(_head(log), lines=log.lines, lives=plain(lives))


def _head(log: ParsedLog) -> Dict[str, Any]:
    names = ("source", "format", "ranks", "notes", "restarts")
    return {name: plain(getattr(log, name)) for name in names}


def series_as_json(log: ParsedLog, chosen: Sequence[Series]) -> str:
    """Series as JSON; NaN and infinities are texts."""
    series = {
        one.name: {"steps": one.steps.tolist(), "values": plain(one.values.tolist())}
        for one in chosen
    }
    return json.dumps(dict(_head(log), series=series), ensure_ascii=False) + "\n"


def series_as_csv(chosen: Sequence[Series]) -> Iterator[str]:
    """Lines `series,step,value`; the shortest text that is the value again."""
    yield "series,step,value\n"
    for series in chosen:
        for step, value in zip(series.steps.tolist(), series.values.tolist()):
            yield f"{series.name},{step},{value!r}\n"
