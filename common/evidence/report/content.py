"""What a report shows of runs: labels, log, pictures, charts."""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (
    Any,
    Deque,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from common.cards.model_folders import checkout_root, find_card
from common.core.errors import UsageError, ZooError
from common.evidence.comparison.curves import SummaryCurve, summary_curve
from common.evidence.comparison.runs import Group, Run, read_run
from common.evidence.figures.line_chart import is_logarithmic
from common.evidence.html_page.render import kind_of_image
from common.evidence.logs.reading import is_record, read_blocks
from common.evidence.logs.series import Series
from common.runs import store
from common.runs.record import RunRecord

TAIL_LINES = 60
LONGEST_LINE = 400
LONGEST_LABEL = 28
PICTURES_FOLDER = "pictures"
COLORS = 6  # --c0 … --c5 of the style sheet
MOST_POINTS, LEAST_POINTS = 400, 60  # of a curve
ALL_POINTS = 16000  # of a page
THROUGHPUT, DATA_WAIT = "throughput", "data wait"
NOT_DRAWN = ("elapsed_seconds", "unix_time", "epoch", "samples", "step_seconds", "data_seconds")
FIRST = ("loss", "train_loss", "learning_rate", THROUGHPUT, DATA_WAIT)
SECTIONS = (  # what a curve's name begins with, and what its section is called
    (FIRST, "Training and speed"),
    (("validation_", "test_"), "Evaluation"),
    (("",), "Diagnostics"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # colours are gone already


@dataclass(frozen=True)
class ReportedRun:
    """A run with what only a report shows.

    label: its name on the page. group: the label it shares with other seeds. pictures: image files.
    """

    label: str
    group: str
    run: Run
    pictures: Tuple[Path, ...]
    log_tail: Tuple[str, ...]

    @property
    def record(self) -> Optional[RunRecord]:
        """None for a bare log."""
        return self.run.record


def read_reported(path: Path, label: str) -> ReportedRun:
    """Reads a run for a report.

    Raises:
        UsageError: there is no such file, or its record names another device than the label.
        ZooError: it can't be read.
    """
    run = read_run(path, label)
    log = store.files_of(path).log if is_record(path) else path
    pictures = []
    folder = (path if path.is_dir() else path.parent) / PICTURES_FOLDER
    for file in filter(Path.is_file, folder.glob("*") if is_record(path) else ()):
        with file.open("rb") as stream:
            if kind_of_image(stream.read(16)) is not None:
                pictures.append(file)
    tail = tuple(tail_of(log)) if os.path.exists(log) else ()
    return ReportedRun(label, label, run, tuple(pictures), tail)


def labelled(runs: Sequence[ReportedRun], given: Sequence[Optional[str]]) -> List[ReportedRun]:
    """The runs under short labels that differ.

    Args:
        given: of each run the label that the user gave; several runs of one are several seeds. A
            run without one is called by what tells its record from the others', else by its name.

    Raises:
        UsageError: two runs have one name and no label.
    """
    names = iter(_short_names([run for run, label in zip(runs, given) if label is None]))
    groups = [next(names) if label is None else label for label in given]
    found = []
    for number, (run, group) in enumerate(zip(runs, groups)):
        same = [other for other, name in enumerate(groups) if name == group]
        if len(same) > 1 and any(given[other] is None for other in same):
            raise UsageError(f"two runs are called {group!r}; give LABEL=PATH")
        label = f"{group} {same.index(number) + 1}" if len(same) > 1 else group
        found.append(replace(run, label=label, group=group))
    return found


def groups_of(runs: Sequence[ReportedRun]) -> List[Group]:
    """The runs by their groups, as they are compared."""
    found: Dict[str, List[Run]] = {}
    for one in runs:
        found.setdefault(one.group, []).append(one.run)
    return [Group(label, tuple(members)) for label, members in found.items()]


def _short_names(runs: Sequence[ReportedRun]) -> List[str]:
    """By what differs in their records; else by their files, of long names the end."""
    records = [run.record for run in runs if run.record is not None]
    if len(runs) > 1 and len(records) == len(runs):
        differing = [column for column in zip(*map(_told, records)) if len(set(column)) > 1]
        names = [", ".join(row) for row in zip(*differing)]
        if len(set(names)) == len(runs) and max(map(len, names)) <= LONGEST_LABEL:
            return names
    paths = [Path(run.run.source).resolve() for run in runs]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    names = [name[: -len(".json")] if name.endswith(".json") else name for name in names]
    return [name if len(name) <= LONGEST_LABEL else "…" + name[-LONGEST_LABEL:] for name in names]


def _told(record: RunRecord) -> List[str]:
    """What a short label may say of a run."""
    device = record.device
    return [
        record.case,
        record.dataset.name,
        f"{device.count} {device.kind.upper()}",
        record.precision.arithmetic,
        f"batch {record.batch.total}",
        f"{record.progress.target_steps:,} steps",
        f"seed {record.seed}",
    ]


def tail_of(log: Path, lines: int = TAIL_LINES) -> List[str]:
    """The last lines of a log, plain or gzip, without colours and other control characters."""
    last: Deque[bytes] = deque(maxlen=lines)
    for block in read_blocks(log, []):
        last.extend(block.rstrip(b"\n").split(b"\n")[-lines:])
    texts = [line[: 4 * LONGEST_LINE].decode("utf-8", "replace").rstrip("\r\n") for line in last]
    return [_CONTROL.sub("", text.split("\r")[-1])[:LONGEST_LINE] for text in texts]


# --- charts ---


class Chart(NamedTuple):
    """A chart of the page: its section, its title, and plotly's data and layout."""

    section: str
    title: str
    figure: Dict[str, Any]


def charts(labels: Sequence[str], runs: Sequence[Run]) -> List[Chart]:
    """The charts of all runs by section: loss, learning rate and speed first, then by name."""
    curves: Dict[str, List[Tuple[int, Series]]] = {}
    for number, run in enumerate(runs):
        for name, series in _series_of(run):
            if len(series) > 1:
                curves.setdefault(name, []).append((number, series))
    count = sum(map(len, curves.values()))
    most = max(LEAST_POINTS, min(MOST_POINTS, ALL_POINTS // max(count, 1)))
    found = []
    for name, drawn in curves.items():
        section, (_, title) = next(
            (place, one) for place, one in enumerate(SECTIONS) if name.startswith(one[0])
        )
        reduced = [(number, _reduced(one, most)) for number, one in drawn]
        figure = _figure(name, axis_title(name, runs), reduced, labels)
        order = (section, FIRST.index(name) if name in FIRST else len(FIRST), name)
        found.append((order, Chart(title, name.replace("_", " "), figure)))
    found.sort(key=lambda pair: pair[0])
    return [chart for _, chart in found if chart.figure["data"]]


def _series_of(run: Run) -> Iterator[Tuple[str, Series]]:
    """The series of a run that are worth a chart, with its speed and the share of waiting.

    Speed is steps, or samples where the batch is known, each second.
    """
    series, batch = run.series, float(run.global_batch or 1)
    speed = "fps" if "fps" in series else ""
    if "step_seconds" in series:
        seconds = series["step_seconds"]
        if not speed:
            yield THROUGHPUT, Series(THROUGHPUT, seconds.steps, _shares(batch, seconds.values))
        waits = series.get("data_seconds")
        if waits is not None and len(waits) == len(seconds):
            shares = 100 * _shares(waits.values, seconds.values)
            yield DATA_WAIT, Series(DATA_WAIT, seconds.steps, shares)
    elif "elapsed_seconds" in series and not speed:
        clock = series["elapsed_seconds"]
        rates = _shares(batch * np.diff(clock.steps), np.diff(clock.values))
        yield THROUGHPUT, Series(THROUGHPUT, clock.steps[1:], rates)
    for name, one in series.items():
        if name not in NOT_DRAWN:
            yield (THROUGHPUT if name == speed else name), one


def _shares(parts: Union[np.ndarray, float], wholes: np.ndarray) -> np.ndarray:
    """parts / wholes, nan where there is no whole."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(wholes > 0, parts / wholes, np.nan))


def axis_title(name: str, runs: Sequence[Run]) -> str:
    """What stands at the axis of a curve: its name and its unit, as far as it is known."""
    if name == THROUGHPUT:
        known = all(run.global_batch or "fps" in run.series for run in runs)
        return f"{'samples' if known else 'steps'} per second"
    if name == DATA_WAIT:
        return "waiting for data (% of a step)"
    words = re.sub("^(validation|test)_", "", name).replace("_", " ")
    for run in runs:
        try:
            metric = find_card(checkout_root(), run.model).task(run.task or None).metric
        except ZooError:
            continue
        unit = {"percent": "%", "fraction": "fraction"}.get(metric.unit)
        if unit and name.endswith(metric.name):
            return f"{words} ({unit})"
    return words


def _reduced(series: Series, most: int) -> SummaryCurve:
    """A few values, of evaluations for example, as they are; many as the means of stretches."""
    if len(series) > LEAST_POINTS:
        return summary_curve(series, most)
    values = np.where(np.isfinite(series.values), series.values, np.nan)
    return SummaryCurve(series.steps.astype(float), values, np.zeros(len(series)))


def _figure(
    name: str, up: str, curves: Sequence[Tuple[int, SummaryCurve]], labels: Sequence[str]
) -> Dict[str, Any]:
    """Lines with bands of one noise; `meta` of each trace is the number of its run's colour."""
    curves = [(number, curve) for number, curve in curves if np.isfinite(curve.means).any()]
    may_be = name.endswith(("loss", "error"))
    logarithmic = may_be and is_logarithmic([curve.means for _, curve in curves])
    traces: List[Dict[str, Any]] = []
    for number, curve in curves:
        common = {
            "type": "scatter",
            "x": [int(round(step)) for step in curve.steps],
            "name": labels[number],
            "meta": number % COLORS,
            "mode": "lines",
        }
        if np.nanmax(curve.noises) > 0:
            low, high = curve.means - curve.noises, curve.means + curve.noises
            if np.nanmin(curve.means) >= 0:
                low = np.maximum(low, np.nanmin(curve.means) / 10 if logarithmic else 0)
            edge = {**common, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
            traces.append({**edge, "y": _rounded(low)})
            traces.append({**edge, "y": _rounded(high), "fill": "tonexty"})
        if np.isfinite(curve.means).sum() < 3:
            common["mode"] = "lines+markers"
        traces.append({**common, "y": _rounded(curve.means), "hovertemplate": "%{y:.4g}"})
    axes = {
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {
            "title": {"text": up + " (log scale)" * logarithmic},
            "type": "log" if logarithmic else "linear",
        },
    }
    return {"data": traces, "layout": axes}


def _rounded(values: np.ndarray) -> List[Union[float, None]]:
    """Five digits say all that a chart can show; None makes a gap."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]
