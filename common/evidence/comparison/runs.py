"""A run as it is compared: its series, its final figures, and what is known of its origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import UsageError
from common.evidence.logs.series import Series
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
