"""The curves a report draws: as logged, and those that follow from what was logged."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Sequence, Union

import numpy as np

from common.evidence.comparison.runs import Run
from common.evidence.logs.series import Series

THROUGHPUT, DATA_WAIT = "throughput", "data wait"
NOT_DRAWN = ("elapsed_seconds", "unix_time", "epoch", "samples", "step_seconds", "data_seconds")
FIRST = ("loss", "train_loss", "learning_rate", THROUGHPUT, DATA_WAIT)


class DrawnCurve(NamedTuple):
    """A series under the label of its run."""

    label: str
    series: Series


def charts_of(labels: Sequence[str], runs: Sequence[Run]) -> Dict[str, List[DrawnCurve]]:
    """The curves by chart title: loss, learning rate and speed first, then the metrics by name."""
    found: Dict[str, List[DrawnCurve]] = {}
    for label, run in zip(labels, runs):
        for name, series in drawn_series(run).items():
            if len(series) > 1:
                found.setdefault(name, []).append(DrawnCurve(label, series))
    order = {name: place for place, name in enumerate(FIRST)}
    return {
        name: found[name]
        for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))
    }


def drawn_series(run: Run) -> Dict[str, Series]:
    """The series of a run that are worth a chart, with throughput and the share of waiting."""
    found = _speeds(run.series, float(run.global_batch or 1))
    for name, series in run.series.items():
        if name not in NOT_DRAWN:
            found[THROUGHPUT if name == "fps" else name] = series
    return found


def _speeds(series: Mapping[str, Series], batch: float) -> Dict[str, Series]:
    """Steps, or samples where the batch is known, each second."""
    if "step_seconds" in series:
        seconds = series["step_seconds"]
        found = {THROUGHPUT: Series(THROUGHPUT, seconds.steps, _shares(batch, seconds.values))}
        if "data_seconds" in series and len(series["data_seconds"]) == len(seconds):
            share = _shares(series["data_seconds"].values, seconds.values)
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
