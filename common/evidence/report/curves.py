"""The curves of a report: which, under what titles, and each chart as plotly's data and layout."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from common.cards.model_folders import checkout_root, find_card
from common.core.errors import ZooError
from common.evidence.comparison.curves import SummaryCurve, summary_curve
from common.evidence.comparison.runs import Run
from common.evidence.figures.line_chart import is_logarithmic
from common.evidence.logs.series import Series

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
