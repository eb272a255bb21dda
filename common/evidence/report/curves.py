"""The curves of a report: which, under what titles, and each chart as a figure of plotly."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np
import plotly.graph_objects as go

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


class DrawnCurve(NamedTuple):
    """A series under the label of its run."""

    label: str
    series: Series


class Chart(NamedTuple):
    """A chart of the page: its section, its title, and plotly's data and layout."""

    section: str
    title: str
    figure: Dict[str, Any]


def charts(labels: Sequence[str], runs: Sequence[Run]) -> List[Chart]:
    """The charts of all runs, in the order of SECTIONS."""
    found = drawn_curves(labels, runs)
    count = sum(map(len, found.values()))
    most = max(LEAST_POINTS, min(MOST_POINTS, ALL_POINTS // max(count, 1)))
    drawn = []
    for name, curves in found.items():
        reduced = [(curve.label, _reduced(curve.series, most)) for curve in curves]
        reduced = [(label, curve) for label, curve in reduced if np.isfinite(curve.means).any()]
        if reduced:
            figure = _figure(reduced, axis_title(name, runs), name.endswith(("loss", "error")))
            section, title = _section(name), name.replace("_", " ")
            drawn.append(Chart(section, title, _with_colors(figure, list(labels))))
    order = [title for _, title in SECTIONS]
    return sorted(drawn, key=lambda chart: order.index(chart.section))


def _reduced(series: Series, most: int) -> SummaryCurve:
    """A few values, of evaluations for example, as they are; many as the means of stretches."""
    if len(series) > LEAST_POINTS:
        return summary_curve(series, most)
    values = np.where(np.isfinite(series.values), series.values, np.nan)
    return SummaryCurve(series.steps.astype(float), values, np.zeros(len(series)))


def drawn_curves(labels: Sequence[str], runs: Sequence[Run]) -> Dict[str, List[DrawnCurve]]:
    """The curves by name: loss, learning rate and speed first, then the metrics by name."""
    found: Dict[str, List[DrawnCurve]] = {}
    for label, run in zip(labels, runs):
        for name, series in _series_of(run).items():
            if len(series) > 1:
                found.setdefault(name, []).append(DrawnCurve(label, series))
    order = {name: place for place, name in enumerate(FIRST)}
    return {
        name: found[name]
        for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))
    }


def _series_of(run: Run) -> Dict[str, Series]:
    """The series of a run that are worth a chart, with throughput and the share of waiting."""
    found = _speeds(run.series, float(run.global_batch or 1))
    for name, series in run.series.items():
        if name not in NOT_DRAWN:
            found[THROUGHPUT if name == "fps" else name] = series
    return found


def _speeds(series: Mapping[str, Series], batch: float) -> Dict[str, Series]:
    """Steps, or samples where the batch is known, each second; percent of the time waiting."""
    if "step_seconds" in series:
        seconds = series["step_seconds"]
        found = {THROUGHPUT: Series(THROUGHPUT, seconds.steps, _shares(batch, seconds.values))}
        if "data_seconds" in series and len(series["data_seconds"]) == len(seconds):
            share = 100 * _shares(series["data_seconds"].values, seconds.values)
            found[DATA_WAIT] = Series(DATA_WAIT, seconds.steps, share)
        return found
    if "elapsed_seconds" in series and len(series["elapsed_seconds"]) > 2:
        clock = series["elapsed_seconds"]
        rates = _shares(batch * np.diff(clock.steps), np.diff(clock.values))
        return {THROUGHPUT: Series(THROUGHPUT, clock.steps[1:], np.where(rates > 0, rates, np.nan))}
    return {}


def _shares(parts: Union[np.ndarray, float], wholes: np.ndarray) -> np.ndarray:
    """parts / wholes, nan where there is no whole."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(wholes > 0, parts / wholes, np.nan))


def axis_title(name: str, runs: Sequence[Run]) -> str:
    """What stands at the axis of a curve: its name and its unit, as far as it is known."""
    if name == THROUGHPUT:
        known = all(run.global_batch or "fps" in run.series for run in runs)
        return "{} per second".format("samples" if known else "steps")
    if name == DATA_WAIT:
        return "waiting for data (% of a step)"
    words = re.sub("^(validation|test)_", "", name).replace("_", " ")
    for run in runs:
        try:
            task = find_card(checkout_root(), run.model).task(run.task or None)
        except ZooError:
            continue
        if task.metric is not None and name.endswith(task.metric.name):
            unit = {"percent": "%", "fraction": "fraction"}.get(task.metric.unit)
            return f"{words} ({unit})" if unit else words
    return words


def _section(name: str) -> str:
    return next(title for starts, title in SECTIONS if name.startswith(starts))


def _figure(curves: Sequence[Tuple[str, SummaryCurve]], up: str, may_be_log: bool) -> go.Figure:
    """Lines with bands of one noise; the axis is logarithmic where the values are far apart."""
    logarithmic = may_be_log and is_logarithmic([curve.means for _, curve in curves])
    figure = go.Figure()
    for label, curve in curves:
        steps, means = [int(round(step)) for step in curve.steps], _rounded(curve.means)
        few = np.isfinite(curve.means).sum() < 3
        if np.nanmax(curve.noises) > 0:
            low, high = curve.means - curve.noises, curve.means + curve.noises
            if np.nanmin(curve.means) >= 0:
                low = np.maximum(low, np.nanmin(curve.means) / 10 if logarithmic else 0)
            for edge, fill in ((low, None), (high, "tonexty")):
                figure.add_scatter(
                    x=steps,
                    y=_rounded(edge),
                    name=label,
                    mode="lines",
                    line={"width": 0},
                    fill=fill,
                    hoverinfo="skip",
                    showlegend=False,
                )
        figure.add_scatter(
            x=steps,
            y=means,
            name=label,
            mode="lines+markers" if few else "lines",
            hovertemplate="%{y:.4g}",
        )
    figure.update_layout(
        xaxis={"title": {"text": "step"}},
        yaxis={
            "title": {"text": up + " (log scale)" * logarithmic},
            "type": "log" if logarithmic else "linear",
        },
    )
    return figure


def _rounded(values: np.ndarray) -> List[Union[float, None]]:
    """Five digits say all that a chart can show; None makes a gap."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def _with_colors(figure: go.Figure, labels: List[str]) -> Dict[str, Any]:
    """The figure as JSON's types; `meta` of each trace is the number of its run's colour."""
    content: Dict[str, Any] = json.loads(figure.to_json())
    del content["layout"]["template"]
    for trace in content["data"]:
        trace["meta"] = labels.index(trace["name"]) % COLORS
    return content
