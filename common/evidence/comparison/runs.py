"""Runs as they are compared, read from logs, run folders and records, and what is asked of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import attrs
import numpy as np

from common.cards.model_card import DEVICES
from common.cards.model_folders import all_cards, checkout_root, find_card, split_name
from common.core.command_line import number_in
from common.core.errors import UsageError, ZooError
from common.evidence.logs.reading import is_record, read_log, series_of_record
from common.evidence.logs.series import Series
from common.runs import record as run_record
from common.runs.record import COMPLETE, RunRecord

WINDOW = 50
LOSS_MARGIN = 0.05  # relative: curves that are closer agree
LOWER_IS_BETTER = ("loss", "error", "seconds")  # what names end with


@attrs.frozen
class Judged:
    """What a precision verdict is about.

    Attributes:
        name: of the metric.
        margin: how much worse still passes: in the metric's unit, a share of the reference for a
            curve; None where nobody named one.
        is_curve: a curve over steps such as the loss; else a final figure such as accuracy.
        unit: written after numbers, "" for fractions.
    """

    name: str
    higher_is_better: bool
    margin: Optional[float]
    is_curve: bool = False
    unit: str = ""

    def told(self, value: float, sign: str = "") -> str:
        """A difference or a margin in words."""
        number = f"{100 * value if self.is_curve else value:{sign}.4g}"
        return f"{number} {'%' if self.is_curve else self.unit}".rstrip()


@attrs.frozen
class Run:
    """One run. What a bare log does not say is None, empty or 0.

    Attributes:
        source: the path it came from.
        series: those with values.
        final: figures of the test set with the final weights, over n_eval samples.
        best: figures of the epoch that was best on validation.
        facts: what two runs should have in common, by name, such as the dataset's predicate.
        model, task: of a log the network whose card declares its format, the task unknown.
        notes: what was odd about the log.
        record: what the rest was taken from, None for a bare log.
    """

    source: str
    series: Mapping[str, Series]
    device: Optional[str] = None
    model: str = ""
    task: str = ""
    final: Mapping[str, float] = attrs.field(factory=dict)
    n_eval: int = 0
    best: Mapping[str, float] = attrs.field(factory=dict)
    global_batch: Optional[int] = None
    facts: Mapping[str, str] = attrs.field(factory=dict)
    incomplete: str = ""
    notes: Tuple[str, ...] = ()
    record: Optional[RunRecord] = None

    @property
    def network(self) -> str:
        """The network and task, as far as they are known."""
        return f"{self.model}/{self.task}" if self.task else self.model

    def final_figure(self, name: str) -> Optional[float]:
        """The record's, else the last value of test_, plain or final_NAME, else None."""
        if name in self.final:
            return self.final[name]
        names = [kind + name for kind in ("test_", "", "final_")]
        found = [self.series[one] for one in names if one in self.series]
        return float(found[0].values[-1]) if found else None

    def best_figure(self, name: str, judged: Judged) -> Optional[float]:
        """The record's best on validation, else the best of the series validation_NAME."""
        if name in self.best:
            return self.best[name]
        series = self.series.get("validation_" + name)
        values = series.values[np.isfinite(series.values)] if series is not None else ()
        if not len(values):
            return None
        return float(np.max(values) if judged.higher_is_better else np.min(values))


@attrs.frozen
class Group:
    """The runs that go under one label; several are several seeds."""

    label: str
    runs: Tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run that stands for the group where one value is told."""
        return self.runs[0]


def read_run(path: Path, label: str) -> Run:
    """The run in a file or folder, under the label that the user gave it.

    Raises:
        UsageError: there is no such file, or its record names another device than the label.
        ZooError: it can't be read as a log, run folder or record.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(
            f"{label} {path}: there is no such file or folder; give a log, a run folder or a "
            "record of results/"
        )
    run = _of_record(path) if is_record(path) else _of_log(path)
    if label in DEVICES and run.device is not None and run.device != label:
        raise UsageError(
            f"{run.source} was given as {label}, but its record says that it ran on {run.device}; "
            f"give it as --run LABEL=PATH or --{run.device}"
        )
    return run


def _of_record(path: Path) -> Run:
    record = run_record.from_run_folder(path) if path.is_dir() else run_record.read_record(path)
    parsed = series_of_record(path)
    return Run(
        source=str(path),
        series={name: one for name, one in parsed.series.items() if len(one)},
        device=record.device.kind,
        model=record.model,
        task=record.task,
        final=record.metrics.final,
        n_eval=record.metrics.n_eval,
        best=record.metrics.best_on_validation,
        global_batch=record.batch.total,
        facts={
            "dataset": record.dataset.predicate or record.dataset.name,
            "global batch": str(record.batch.total),
            "steps": str(record.progress.target_steps),
            "precision": record.precision.arithmetic,
        },
        incomplete="" if record.status == COMPLETE else "aborted: " + record.reason,
        notes=tuple(parsed.notes),
        record=record,
    )


def _of_log(path: Path) -> Run:
    parsed = read_log(path)
    series = {name: one for name, one in parsed.series.items() if len(one)}
    if not series:
        raise ZooError(f"{path} holds no values to compare; see zoo parse {path}")
    declaring = [
        card.name
        for card in all_cards(checkout_root())
        if parsed.format in [form.name for form in card.logs]
    ]
    return Run(str(path), series, model=(declaring or [""])[0], notes=tuple(parsed.notes))


def check_networks(groups: Sequence[Group]) -> None:
    """Raises UsageError where runs are known to be of different networks or tasks."""
    known = [run for group in groups for run in group.runs if run.model]
    for one, other in zip(known, known[1:]):
        if one.model != other.model or len({one.task, other.task} - {""}) > 1:
            raise UsageError(
                f"{one.source} is a run of {one.network}, {other.source} of {other.network}; "
                "compare runs of one network and task"
            )


@attrs.frozen
class Settings:
    """What a comparison is to do.

    Attributes:
        judged: the metric that PrecisionStatus is about.
        curve: the series that is aligned, windowed and drawn.
        window: samples in a window, at most.
        target: a value of the curve.
        batch_size, n_eval: samples in a step and in the test set, for runs that don't say.
    """

    judged: Judged
    curve: str = "loss"
    window: int = WINDOW
    at_step: Optional[int] = None
    target: Optional[float] = None
    batch_size: Optional[int] = None
    n_eval: int = 0

    @property
    def curve_higher_is_better(self) -> bool:
        """Whether the curve is better where it is higher."""
        return not self.curve.endswith(LOWER_IS_BETTER)


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that every command with a comparison has."""
    add = parser.add_argument
    told = "what PrecisionStatus judges; a training curve such as loss is judged by its last window"
    add("--metric", help=told + " (default: the card's metric)")
    told = "whose card says metric and margin (default: the records')"
    add("--model", metavar="MODEL[/TASK]", help=told)
    told = "how much worse still passes: in the metric's unit; a share for a curve (default: the "
    add("--margin", type=number_in(float, 0), help=told + f"card's; {LOSS_MARGIN:g} for a curve)")
    add("--at_step", type=number_in(int, 0), help="tell the curve at this step")
    add("--window", type=number_in(int, 2), default=WINDOW, help="samples in a window, at most")


def settings_of(groups: Sequence[Group], asked: Optional[argparse.Namespace] = None) -> Settings:
    """What to compare: from a command line, as far as it has the flags, records and the card."""
    given: Dict[str, Any] = {} if asked is None else vars(asked)
    curves = set.intersection(*(set(run.series) for group in groups for run in group.runs))
    curve = "train_loss" if "loss" not in curves and "train_loss" in curves else "loss"
    known = [run for group in groups for run in group.runs if run.model]
    known.sort(key=lambda run: not run.task)
    name, margin, metric = given.get("metric"), given.get("margin"), None
    if given.get("model") or known:
        named = given.get("model")
        model, task = split_name(named) if named else (known[0].model, known[0].task)
        metric = find_card(checkout_root(), model).task(task or None).metric
    if metric is not None and name in (None, metric.name):
        unit = metric.unit if metric.unit != "fraction" else ""
        margin = metric.margin if margin is None else margin
        judged = Judged(metric.name, metric.higher_is_better, margin, unit=unit)
    else:
        is_curve = name in curves and not given.get("n_eval")
        if is_curve:
            curve, margin = str(name), LOSS_MARGIN if margin is None else margin
        name = name or "accuracy"
        judged = Judged(name, not name.endswith(LOWER_IS_BETTER), margin, is_curve)
    names = ("window", "at_step", "target", "batch_size", "n_eval")
    more = {key: given[key] for key in names if given.get(key) is not None}
    return Settings(judged, curve, **more)
