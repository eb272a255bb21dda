"""What was read, as text, JSON and CSV."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from common.evidence.logs.series import ParsedLog, Series
from common.evidence.logs.summary import SeriesSummary, Summary
from common.runs.events import json_numbers

_HEADINGS = (
    "series",
    "values",
    "steps",
    "first",
    "last",
    "smallest (step)",
    "largest (step)",
    "mean of the last",
)
_LINES_AT_ONCE = 1 << 14
_CLOCKS = ("elapsed_seconds", "unix_time", "epoch")  # whose mean says nothing


def summary_lines(summary: Summary) -> Iterator[str]:
    """A summary as text: a table for each life, then the notes."""
    yield "{}: {}{}".format(
        summary.source, summary.format, f", {summary.lines:,} lines" if summary.lines else ""
    )
    for number, life in enumerate(summary.lives):
        if len(summary.lives) > 1:
            yield ""
            yield "life {} of {}{}".format(
                number + 1,
                len(summary.lives),
                "" if number == 0 else f", from step {summary.restarts[number - 1].first_step:,}",
            )
        yield from _table([_HEADINGS] + [_cells(series) for series in life.values()])
        yield from _pace(life)
    for note in summary.notes:
        yield "note: " + note


def _cells(series: SeriesSummary) -> Sequence[str]:
    steps = (
        f"{series.last_step:,}"
        if series.first_step == series.last_step
        else f"{series.first_step:,} to {series.last_step:,}"
    )
    count = f"{series.count:,}"
    if series.not_finite:
        count += f" ({series.not_finite:,} not finite)"
    recent = (
        "-"
        if series.recent < 2 or series.name in _CLOCKS
        else f"{series.recent:,}: {_short(series.recent_mean)} ± {_short(series.recent_deviation)}"
    )
    extremes = [
        "-" if found is None else f"{_short(found[0])} ({found[1]:,})"
        for found in (series.smallest, series.largest)
    ]
    return (
        [series.name, count, steps, _short(series.first), _short(series.last)] + extremes + [recent]
    )


def _short(value: Optional[float]) -> str:
    if value is None:
        return "-"
    whole = math.isfinite(value) and value == int(value) and abs(value) < 1e15
    return str(int(value)) if whole else f"{value:.6g}"


def _pace(life: Mapping[str, SeriesSummary]) -> Iterator[str]:
    elapsed = life.get("elapsed_seconds")
    if elapsed is None or elapsed.last_step <= elapsed.first_step:
        return
    each = (elapsed.last - elapsed.first) / (elapsed.last_step - elapsed.first_step)
    yield (
        f"pace: {each:.6g} s a step, from the elapsed time between steps "
        f"{elapsed.first_step:,} and {elapsed.last_step:,}"
    )


def _table(rows: Sequence[Sequence[str]]) -> List[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in rows
    ]


def summary_as_json(summary: Summary) -> Dict[str, Any]:
    """A summary as JSON can hold it: NaN and infinities as texts, as in the run log."""
    found = json_numbers(dataclasses.asdict(summary))
    assert isinstance(found, dict)
    return found


def series_as_json(log: ParsedLog, chosen: Sequence[Series]) -> Iterator[str]:
    """Series as JSON, in pieces; NaN and infinities are texts."""
    head = {
        "source": log.source,
        "format": log.format,
        "ranks": log.ranks,
        "notes": log.notes,
        "restarts": [dataclasses.asdict(restart) for restart in log.restarts],
    }
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "series": {'
    for number, series in enumerate(chosen):
        yield '{}\n{}: {{"steps": {}, "values": {}}}'.format(
            "," if number else "",
            json.dumps(series.name),
            json.dumps(series.steps.tolist()),
            json.dumps(json_numbers(series.values.tolist())),
        )
    yield "}}\n"


def series_as_csv(chosen: Sequence[Series]) -> Iterator[str]:
    """Lines `series,step,value`, many in each text; the shortest text that is the value again."""
    yield "series,step,value\n"
    for series in chosen:
        for first in range(0, len(series), _LINES_AT_ONCE):
            part = slice(first, first + _LINES_AT_ONCE)
            yield "".join(
                [
                    f"{series.name},{step},{value!r}\n"
                    for step, value in zip(
                        series.steps[part].tolist(), series.values[part].tolist()
                    )
                ]
            )
