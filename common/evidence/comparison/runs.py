"""A run as it is compared: its series, its final figures, and what is known of its origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.cards.model_folders import all_cards, checkout_root
from common.core.errors import UsageError, ZooError
from common.evidence.logs.reading import is_record, read_log, series_of_record
from common.evidence.logs.series import Series
from common.runs import record as run_record
from common.runs.record import COMPLETE, RunRecord

DEVICE_LABELS = ("npu", "gpu", "cpu")


@dataclass(frozen=True)
class Run:
    """One run. What a bare log does not say is None, empty or 0.

    Attributes:
        source: the path it came from.
        final: figures of the test set with the final weights, over n_eval samples.
        best: figures of the epoch that was best on validation.
        facts: what two runs should have in common, by name, such as the dataset's predicate.
        model, task: of a log the network whose card declares its format, the task unknown.
        notes: what was odd about the log.
    """

    source: str
    series: Mapping[str, Series]
    device: Optional[str] = None
    model: str = ""
    task: str = ""
    final: Mapping[str, float] = field(default_factory=dict)
    n_eval: int = 0
    best: Mapping[str, float] = field(default_factory=dict)
    global_batch: Optional[int] = None
    facts: Mapping[str, str] = field(default_factory=dict)
    incomplete: str = ""
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """The runs that go under one label; several are several seeds."""

    label: str
    runs: Tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run that stands for the group where one value is told."""
        return self.runs[0]

    def values(self, figure: Callable[[Run], Optional[float]]) -> List[float]:
        """The finite values of a figure among the runs."""
        found = [figure(run) for run in self.runs]
        return [value for value in found if value is not None and np.isfinite(value)]


def names_of_curves(groups: Sequence[Group]) -> List[str]:
    """The series that every run has, by name."""
    found = [set(run.series) for group in groups for run in group.runs]
    return sorted(set.intersection(*found)) if found else []


def run_of_record(
    record: RunRecord, series: Mapping[str, Series], source: str, notes: Sequence[str] = ()
) -> Run:
    """The run that a record and the series of its events tell of."""
    return Run(
        source=source,
        series=series,
        device=record.device.kind,
        model=record.model,
        task=record.task,
        final=_numbers(record.metrics.final),
        n_eval=record.metrics.n_eval,
        best=_numbers(record.metrics.best_on_validation),
        global_batch=record.batch.total,
        facts={
            "dataset": record.dataset.predicate or record.dataset.name,
            "global batch": str(record.batch.total),
            "steps": str(record.progress.target_steps),
            "precision": record.precision.arithmetic,
        },
        incomplete="" if record.status == COMPLETE else "aborted: " + record.reason,
        notes=tuple(notes),
    )


def _numbers(values: Mapping[str, object]) -> Dict[str, float]:
    """The values that are numbers: a record has "nan" as a text."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def check_device(label: str, run: Run) -> None:
    """Raises UsageError where a label names a device and the run's record another one."""
    if label in DEVICE_LABELS and run.device is not None and run.device != label:
        raise UsageError(
            f"{run.source} was given as {label}, but its record says that it ran on "
            f"{run.device}; give it as "
            f"--run LABEL=PATH or --{run.device}"
        )


def check_networks(groups: Sequence[Group]) -> None:
    """Raises UsageError where records are of different networks or tasks."""
    known = [run for group in groups for run in group.runs if run.model]
    for one, other in zip(known, known[1:]):
        same_task = one.task == other.task or not one.task or not other.task
        if one.model != other.model or not same_task:
            raise UsageError(
                f"{one.source} is a run of {network_of(one)}, {other.source} of "
                f"{network_of(other)}; compare runs of one network and task"
            )


def network_of(run: Run) -> str:
    """The network and task of a run, as far as they are known."""
    return f"{run.model}/{run.task}" if run.task else run.model


def unequal_facts(reference: Group, candidate: Group) -> Dict[str, Tuple[str, str]]:
    """What the two groups' records say differently, by name."""
    first, second = reference.first.facts, candidate.first.facts
    return {
        name: (first[name], second[name])
        for name in first
        if name in second and first[name] != second[name]
    }


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
    check_device(label, run)
    return run


def _of_record(path: Path) -> Run:
    record = run_record.from_run_folder(path) if path.is_dir() else run_record.read_record(path)
    parsed = series_of_record(path)
    return run_of_record(record, _usable(parsed.series), str(path), parsed.notes)


def _of_log(path: Path) -> Run:
    parsed = read_log(path)
    series = _usable(parsed.series)
    if not series:
        raise ZooError(f"{path} holds no values to compare; see zoo parse {path}")
    return Run(str(path), series, model=_network_of(parsed.format), notes=tuple(parsed.notes))


def _network_of(format_name: str) -> str:
    """The network whose card declares a log format; "" for our own formats."""
    return next(
        (
            card.name
            for card in all_cards(checkout_root())
            if format_name in [form.name for form in card.logs]
        ),
        "",
    )


def _usable(series: Mapping[str, Series]) -> Dict[str, Series]:
    return {name: one for name, one in series.items() if len(one)}
