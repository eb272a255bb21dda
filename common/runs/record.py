"""The run record: one JSON a run that says what ran, on what, and what came out."""

from __future__ import annotations

import dataclasses
import datetime
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from common.core.codec import AnyFloat, read_json, write_json
from common.core.errors import ZooError
from common.core.files import sha256_of
from common.core.text import quoted
from common.runs import events as run_log
from common.runs.event_kinds import (
    COMPLETE,
    Checkpoint,
    Code,
    Dataset,
    Device,
    DeviceSeen,
    End,
    Epoch,
    Evaluated,
    Event,
    Launch,
    PrecisionUsed,
    Start,
    Step,
    network_mistakes,
    typed,
)
from common.runs.marker import read_marker
from common.runs.provenance import without_folders

SCHEMA_VERSION = 1
FILE_NAME = "record.json"
ABORTED = "aborted"
DIRECT = "direct"  # the case of a run that nobody launched
NO_END = "ended without a word"  # the reason of a run whose log has no end event
PERCENTILES = "numpy, linear"  # numpy.percentile's own method
_OF_THE_START = (
    *("model", "task", "network", "code", "config", "config_sha256", "dataset", "device"),
    *("precision", "seed", "first_batches_sha256"),
)

E = TypeVar("E", bound=Event)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Samples in a batch of one device, in one optimizer step of the whole job."""

    per_device: int
    total: int


@dataclasses.dataclass(frozen=True)
class Progress:
    """Optimizer steps and epochs, done and asked for."""

    steps: int
    target_steps: int
    epochs: int
    target_epochs: int


@dataclasses.dataclass(frozen=True)
class Speed:
    """samples_per_second is all samples over all seconds of the measured steps, of the whole job.

    Step times are in seconds, memory in bytes; data_wait is the share of a step's time.
    percentiles names the method; a record without it took the nearest rank, or the one above.
    """

    warmup_steps: int
    measured_steps: int
    samples_per_second: Optional[float]
    step_seconds_p50: Optional[float]
    step_seconds_p90: Optional[float]
    step_seconds_p99: Optional[float]
    data_wait: Optional[float]
    peak_memory: Optional[int]
    wall_seconds: float
    percentiles: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Metrics:
    """final: the test set with the final weights; best: chosen on validation, never on test.

    n_eval, split and step are those of the final evaluation: samples, name, and the weights' step.
    """

    final: Dict[str, AnyFloat]
    best_on_validation: Dict[str, AnyFloat]
    n_eval: int
    curve: List[Dict[str, AnyFloat]]
    final_loss: Optional[AnyFloat]
    split: Optional[str] = None
    step: Optional[int] = None


@dataclasses.dataclass(frozen=True)
class Health:
    """What went wrong on the way, with the proof that the asked-for device ran it."""

    nonfinite_steps: int
    loss_scale_skips: int
    proof: str


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One run; made from its events by from_events and from nothing else.

    first_batches_sha256 is of the first augmented batches, None where the run doesn't tell it (a
    record of earlier days has no such key).
    """

    schema_version: int
    run_id: str
    date: str
    model: str
    task: str
    case: str
    network: Dict[str, Any]
    command: str
    code: Code
    config: Dict[str, Any]
    config_sha256: str
    dataset: Dataset
    device: Device
    precision: PrecisionUsed
    batch: Batch
    seed: int
    progress: Progress
    metrics: Metrics
    speed: Speed
    health: Health
    log_sha256: Optional[str]
    checkpoint_sha256: Optional[str]
    status: str
    reason: str
    first_batches_sha256: Optional[str] = None

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """What is wrong with a record that was read, by key."""
        if self.schema_version != SCHEMA_VERSION:
            yield "schema_version", f"must be {SCHEMA_VERSION}, not {self.schema_version}"
        if self.status not in (COMPLETE, ABORTED):
            yield "status", f"must be one of {COMPLETE}, {ABORTED}, not {quoted(self.status)}"
        yield from network_mistakes(self.network)


def read_record(path: Path) -> RunRecord:
    """Reads one record file; ZooError tells every key that is wrong."""
    return read_json(Path(path), RunRecord)


def write_record(record: RunRecord, folder: Path) -> Path:
    """Writes `record.json` into a run folder, atomically; returns its path."""
    path = Path(folder) / FILE_NAME
    write_json(path, record)
    return path


def from_events(
    events: Sequence[Mapping[str, Any]],
    case: str = DIRECT,
    command: Optional[str] = None,
    log_sha256: Optional[str] = None,
    where: str = "the run log",
    percentiles: Optional[str] = PERCENTILES,
) -> RunRecord:
    """Makes the record of a run from rank 0's effective events (run_log.effective_events).

    Args:
        case, command, log_sha256: where no launcher told them among the events.
        where: what errors call the events.
        percentiles: the method; None for that of records of earlier days.

    Raises:
        ZooError: an event lacks a key or has a wrong one, or there is no start event.
    """
    told = [typed(event, where) for event in events]
    starts, ends = _of_kind(told, Start), _of_kind(told, End)
    if not starts:
        raise ZooError(f"{where} has no start event: the run ended before it began")
    start, steps = starts[-1], _of_kind(told, Step)
    complete = bool(ends) and ends[-1].status == COMPLETE
    date = datetime.datetime.fromtimestamp(starts[0].time, datetime.timezone.utc)
    seen = [event.proof for event in _of_kind(told, DeviceSeen)]
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id="",
        date=date.strftime("%Y-%m-%dT%H:%M:%SZ"),
        case=case,
        command=start.command if command is None else command,
        batch=Batch(start.batch.per_device, start.batch.total),
        progress=Progress(
            steps=max([step.step for step in steps], default=start.resumed_step),
            target_steps=start.targets.steps,
            epochs=max([event.epoch for event in _of_kind(told, Epoch)], default=0),
            target_epochs=start.targets.epochs,
        ),
        metrics=_metrics(told),
        speed=_speed(told, percentiles),
        health=Health(
            nonfinite_steps=sum(not step.is_finite for step in steps),
            loss_scale_skips=sum(int(step.skipped) for step in steps),
            # what the start said of the device, and what was seen of it until the end
            proof="; ".join([start.proof] + seen[-1:]),
        ),
        log_sha256=log_sha256,
        checkpoint_sha256=_last([written.sha256 for written in _of_kind(told, Checkpoint)]),
        status=COMPLETE if complete else ABORTED,
        reason="" if complete else ends[-1].reason if ends else NO_END,
        **{name: getattr(start, name) for name in _OF_THE_START},
    )
    launch = _last(_of_kind(told[told.index(start) :], Launch))
    return _named(record) if launch is None else closed(record, launch)


def closed(record: RunRecord, launch: Launch) -> RunRecord:
    """The record with the launcher's word: case, command, log; a failed launch aborts a run."""
    changes: Dict[str, Any] = {"case": launch.case, "command": launch.command}
    if launch.exit_code:
        changes.update(status=ABORTED, reason=record.reason or launch.reason)
    return _named(dataclasses.replace(record, log_sha256=launch.log_sha256, **changes))


def _named(record: RunRecord) -> RunRecord:
    stamp = record.date.replace("-", "").replace(":", "")
    run_id = f"{record.model}-{record.case}-{stamp}-{record.config_sha256[:6]}"
    return dataclasses.replace(record, run_id=run_id)


def _of_kind(events: Sequence[Event], kind: Type[E]) -> List[E]:
    return [event for event in events if isinstance(event, kind)]


def _last(values: Sequence[Any]) -> Any:
    return values[-1] if values else None


def _metrics(events: Sequence[Event]) -> Metrics:
    evaluations = _of_kind(events, Evaluated)
    final = _last([event for event in evaluations if event.role == "final"])
    best = _last([event for event in evaluations if event.role == "best"])
    best_metrics: Dict[str, AnyFloat] = {}
    if best is not None:
        best_metrics = dict(best.metrics, epoch=best.epoch, step=best.step)
    return Metrics(
        final={} if final is None else dict(final.metrics),
        best_on_validation=best_metrics,
        n_eval=0 if final is None else final.n,
        curve=_curve(events),
        final_loss=_last([event.loss for event in _of_kind(events, Step)]),
        split=None if final is None else final.split,
        step=None if final is None else final.step,
    )


def _curve(events: Sequence[Event]) -> List[Dict[str, AnyFloat]]:
    """A point for each step at which an epoch ended or a split was evaluated on the way."""
    points: Dict[int, Dict[str, Any]] = {}
    for event in events:
        if isinstance(event, Epoch):
            values: Dict[str, Any] = {"train_loss": event.train_loss}
        elif isinstance(event, Evaluated) and event.role == "progress":
            values = {f"{event.split}_{name}": value for name, value in event.metrics.items()}
        else:
            continue
        point = points.setdefault(event.step, {"epoch": event.epoch, "step": event.step})
        point.update(values)
    return [points[step] for step in sorted(points)]


def warmup_length(n_steps: int) -> int:
    """How many steps of a process's life are left out of its speed: 10, or a fifth of few."""
    return min(10, n_steps // 5)


def _speed(events: Sequence[Event], percentiles: Optional[str]) -> Speed:
    lives: List[List[Event]] = []  # one for each process; the launcher's events are nobody's
    for event in events:
        if isinstance(event, Start):
            lives.append([])
        if lives and not isinstance(event, Launch):
            lives[-1].append(event)
    measured: List[Step] = []
    warmup = 0
    for life in lives:
        steps = _of_kind(life, Step)
        left_out = warmup_length(len(steps))
        measured += steps[left_out:]
        warmup += left_out
    seconds = [step.seconds for step in measured]
    total = sum(sorted(seconds))
    waits = [step.data_seconds for step in measured if step.data_seconds is not None]
    all_told = total > 0 and len(waits) == len(measured)
    half, most, nearly_all = _percentiles(seconds, percentiles)
    peaks = [event.peak_memory for event in _of_kind(events, Epoch) if event.peak_memory]
    samples = sum(step.samples for step in measured)
    return Speed(
        warmup_steps=warmup,
        measured_steps=len(measured),
        samples_per_second=round(samples / total, 3) if total > 0 else None,
        step_seconds_p50=half,
        step_seconds_p90=most,
        step_seconds_p99=nearly_all,
        data_wait=round(sum(waits) / total, 5) if all_told else None,
        peak_memory=max(peaks) if peaks else None,
        wall_seconds=round(sum(life[-1].time - life[0].time for life in lives), 3),
        percentiles=percentiles,
    )


def _percentiles(seconds: Sequence[float], method: Optional[str]) -> List[Optional[float]]:
    """The 50th, 90th and 99th percentile; None without values."""
    if not seconds:
        return [None] * 3
    if method is None:
        ordered, last = sorted(seconds), len(seconds) - 1
        places = [int(round(share * len(seconds) + 0.5)) - 1 for share in (0.5, 0.9, 0.99)]
        return [round(ordered[min(last, max(0, place))], 6) for place in places]
    import numpy as np

    return [round(float(value), 6) for value in np.percentile(seconds, (50, 90, 99))]


def from_run_folder(folder: Path) -> RunRecord:
    """Makes the record of the run whose folder this is.

    Raises:
        ZooError: the folder holds no run log, or one that makes no record.
    """
    return record_and_events(folder)[0]


def record_and_events(
    folder: Path, percentiles: Optional[str] = PERCENTILES
) -> Tuple[RunRecord, List[run_log.Event]]:
    """See from_run_folder; with the effective events that the record is made from."""
    folder = Path(folder)
    path = folder / "rank_0" / run_log.FILE_NAME
    if not path.exists():
        raise ZooError(f"{folder} is not a run folder: it has no {path.relative_to(folder)}")
    marker, log = read_marker(folder), human_log(folder)
    if marker.fault:
        raise ZooError(marker.fault)
    events = run_log.effective_events(path)
    case = DIRECT if marker.case is None else marker.case
    command = None if marker.command is None else without_folders(marker.command)
    digest = sha256_of(log) if log is not None and log.exists() else None
    return from_events(events, case, command, digest, str(path), percentiles), events


def finite(value: Any) -> Optional[float]:
    """A figure of a record as a number; None without one, and for NaN and infinities."""
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else None


def human_log(folder: Path) -> Optional[Path]:
    """The human log of rank 0 in a run folder; None where there is none."""
    return next(iter(sorted(Path(folder).glob("train_*.log"))), None)
