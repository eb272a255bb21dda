"""The run record: one JSON a run that says what ran, on what, and what came out."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from common.core.errors import ZooError
from common.core.files import sha256_of, write_atomically
from common.runs import events as run_log
from common.runs.marker import read_marker
from common.runs.provenance import without_folders

SCHEMA_VERSION = 1
FILE_NAME = "record.json"
COMPLETE = "complete"
ABORTED = "aborted"
NO_END = "ended without a word"  # the reason of a run whose log has no end event


@dataclasses.dataclass(frozen=True)
class Code:
    """The state of the sources: commit is "unknown" outside a git checkout."""

    commit: str
    dirty: bool


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What was learned from; predicate says how each split was made, counts how large it is."""

    name: str
    predicate: str
    counts: Dict[str, int]
    manifest_sha256: str


@dataclasses.dataclass(frozen=True)
class Device:
    """What the run computed on; kind is npu, gpu or cpu, count the number of ranks."""

    kind: str
    name: str
    count: int
    driver: str
    runtime: str
    framework: str
    python: str


@dataclasses.dataclass(frozen=True)
class PrecisionUsed:
    """mode is what was asked for, arithmetic what it was on this device, loss_scale the policy."""

    mode: str
    arithmetic: str
    loss_scale: str


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


@dataclasses.dataclass(frozen=True)
class Metrics:
    """final: the test set with the final weights; best: chosen on validation, never on test."""

    final: Dict[str, float]
    best_on_validation: Dict[str, float]
    n_eval: int
    curve: List[Dict[str, float]]
    final_loss: Optional[float]


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


_PARTS = {
    "code": Code,
    "dataset": Dataset,
    "device": Device,
    "precision": PrecisionUsed,
    "batch": Batch,
    "progress": Progress,
    "metrics": Metrics,
    "speed": Speed,
    "health": Health,
}


def to_json(record: RunRecord) -> str:
    """The record as indented JSON with a final newline."""
    return json.dumps(dataclasses.asdict(record), indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, where: str) -> RunRecord:
    """Reads a record.

    Args:
        where: the file's name, for errors.

    Raises:
        ZooError: not JSON, another schema version, a key too few or too many.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ZooError(
            f"{where} is not JSON ({error}); write it anew from its run folder"
        ) from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ZooError(f"{where} is not a run record of schema version {SCHEMA_VERSION}")
    parts = {
        name: _build(kind, content.get(name), f"{where}: {name}") for name, kind in _PARTS.items()
    }
    content.update(parts)
    record = _build(RunRecord, content, where)
    if record.status not in (COMPLETE, ABORTED):
        raise ZooError(
            f"{where}: status is {record.status!r}; allowed are {COMPLETE} and {ABORTED}"
        )
    return record  # type: ignore[no-any-return]


def _build(kind: Any, content: Any, where: str) -> Any:
    names = [field.name for field in dataclasses.fields(kind)]
    optional = {
        field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING
    }
    given = list(content) if isinstance(content, dict) else []
    wrong = sorted((set(names) ^ set(given)) - (optional - set(given)))
    if wrong:
        raise ZooError(
            "{}: missing or unknown key {!r}; a record has: {}".format(
                where, wrong[0], ", ".join(names)
            )
        )
    return kind(**content)


def read_record(path: Path) -> RunRecord:
    """Reads and checks one record file; ZooError tells what is wrong with it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ZooError(f"can't read the record {path}: {error.strerror}") from error
    return from_json(text, str(path))


def write_record(record: RunRecord, folder: Path) -> Path:
    """Writes `record.json` into a run folder, atomically; returns its path."""
    path = Path(folder) / FILE_NAME
    write_atomically(path, to_json(record))
    return path


def from_events(
    events: Sequence[Mapping[str, Any]], case: str, command: str, log: Optional[Path] = None
) -> RunRecord:
    """Makes the record of a run from rank 0's effective events (run_log.effective_events).

    Raises:
        ZooError: there is no start event, so nothing is known of the run.
    """
    start = next((event for event in reversed(events) if event["event"] == "start"), None)
    if start is None:
        raise ZooError("the run log has no start event: the run ended before it began")
    end: Mapping[str, Any] = next(
        (event for event in reversed(events) if event["event"] == "end"), {}
    )
    complete = end.get("status") == COMPLETE
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=_run_id(events, start, case),
        date=_date(_first_start(events)["time"]),
        model=start["model"],
        task=start["task"],
        case=case,
        network=dict(start["network"]),
        command=command,
        code=Code(**start["code"]),
        config=dict(start["config"]),
        config_sha256=start["config_sha256"],
        dataset=Dataset(**start["dataset"]),
        device=Device(**start["device"]),
        precision=PrecisionUsed(**start["precision"]),
        batch=Batch(start["batch"]["per_device"], start["batch"]["global"]),
        seed=start["seed"],
        progress=_progress(events, start),
        metrics=_metrics(events),
        speed=_speed(events, end),
        health=_health(events, start),
        log_sha256=_log_digest(log),
        checkpoint_sha256=_checkpoint_digest(events),
        status=COMPLETE if complete else ABORTED,
        reason="" if complete else str(end.get("reason", NO_END)),
        first_batches_sha256=start.get("first_batches_sha256"),
    )


def _first_start(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next(event for event in events if event["event"] == "start")


def _run_id(events: Sequence[Mapping[str, Any]], start: Mapping[str, Any], case: str) -> str:
    moment = _first_start(events)["time"]
    return "{}-{}-{}-{}".format(start["model"], case, _stamp(moment), start["config_sha256"][:6])


def _date(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def _stamp(moment: float) -> str:
    return _date(moment).replace("-", "").replace(":", "")


def _of_kind(events: Sequence[Mapping[str, Any]], kind: str) -> List[Mapping[str, Any]]:
    return [event for event in events if event["event"] == kind]


def _progress(events: Sequence[Mapping[str, Any]], start: Mapping[str, Any]) -> Progress:
    steps, epochs = _of_kind(events, "step"), _of_kind(events, "epoch")
    return Progress(
        steps=max([event["step"] for event in steps], default=start.get("resumed_step", 0)),
        target_steps=start["targets"]["steps"],
        epochs=max([event["epoch"] for event in epochs], default=0),
        target_epochs=start["targets"]["epochs"],
    )


def _metrics(events: Sequence[Mapping[str, Any]]) -> Metrics:
    evaluations = _of_kind(events, "evaluation")
    final = [event for event in evaluations if event["role"] == "final"]
    losses = [event["loss"] for event in _of_kind(events, "step")]
    return Metrics(
        final=dict(final[-1]["metrics"]) if final else {},
        best_on_validation=_best_on_validation(evaluations),
        n_eval=final[-1]["n"] if final else 0,
        curve=_curve(events),
        final_loss=losses[-1] if losses else None,
    )


def _best_on_validation(evaluations: Sequence[Mapping[str, Any]]) -> Dict[str, float]:
    best = [event for event in evaluations if event["role"] == "best"]
    if not best:
        return {}
    values = dict(best[-1]["metrics"])
    values.update(epoch=best[-1]["epoch"], step=best[-1]["step"])
    return values


def _curve(events: Sequence[Mapping[str, Any]]) -> List[Dict[str, float]]:
    """A point for each step at which an epoch ended or a split was evaluated on the way."""
    points: Dict[int, Dict[str, float]] = {}
    for event in events:
        if event["event"] == "epoch":
            _point(points, event)["train_loss"] = event["train_loss"]
        elif event["event"] == "evaluation" and event["role"] == "progress":
            _point(points, event).update(
                {
                    "{}_{}".format(event["split"], name): value
                    for name, value in event["metrics"].items()
                }
            )
    return [points[step] for step in sorted(points)]


def _point(points: Dict[int, Dict[str, float]], event: Mapping[str, Any]) -> Dict[str, float]:
    return points.setdefault(event["step"], {"epoch": event["epoch"], "step": event["step"]})


def warmup_length(n_steps: int) -> int:
    """How many steps of a process's life are left out of its speed: 10, or a fifth of few."""
    return min(10, n_steps // 5)


def _speed(events: Sequence[Mapping[str, Any]], end: Mapping[str, Any]) -> Speed:
    lives = _lives(events)
    warmup = sum(warmup_length(len(life)) for life in lives)
    measured = [step for life in lives for step in life[warmup_length(len(life)) :]]
    seconds = sorted(step["seconds"] for step in measured)
    total = sum(seconds)
    return Speed(
        warmup_steps=warmup,
        measured_steps=len(measured),
        samples_per_second=_round(sum(step["samples"] for step in measured) / total, 3)
        if total > 0
        else None,
        step_seconds_p50=_percentile(seconds, 0.50),
        step_seconds_p90=_percentile(seconds, 0.90),
        step_seconds_p99=_percentile(seconds, 0.99),
        data_wait=_data_wait(measured, total),
        peak_memory=_peak_memory(events),
        wall_seconds=_round(_wall_seconds(events), 3),
    )


def _data_wait(measured: Sequence[Mapping[str, Any]], total: float) -> Optional[float]:
    """The share of the steps' time that went into waiting for data; None where no clock told."""
    waits = [step["data_seconds"] for step in measured]
    return _round(sum(waits) / total, 5) if total > 0 and None not in waits else None


def _lives(events: Sequence[Mapping[str, Any]]) -> List[List[Mapping[str, Any]]]:
    """The step events, one list for each process that wrote them."""
    lives: List[List[Mapping[str, Any]]] = []
    for event in events:
        if event["event"] == "start":
            lives.append([])
        elif event["event"] == "step" and lives:
            lives[-1].append(event)
    return lives


def _wall_seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """The time between start and last event of each life, summed: pauses between don't count."""
    total, begun, last = 0.0, None, 0.0
    for event in events:
        if event["event"] == "start":
            total += last - begun if begun is not None else 0.0
            begun = event["time"]
        last = event["time"]
    return total + (last - begun if begun is not None else 0.0)


def _percentile(ordered: Sequence[float], share: float) -> Optional[float]:
    """The nearest-rank percentile of values in ascending order; None without values."""
    if not ordered:
        return None
    position = min(len(ordered) - 1, max(0, int(round(share * len(ordered) + 0.5)) - 1))
    return _round(ordered[position], 6)


def _round(value: float, digits: int) -> float:
    return round(float(value), digits)


def _peak_memory(events: Sequence[Mapping[str, Any]]) -> Optional[int]:
    peaks = [event["peak_memory"] for event in events if event.get("peak_memory")]
    return max(peaks) if peaks else None


def _health(events: Sequence[Mapping[str, Any]], start: Mapping[str, Any]) -> Health:
    return Health(
        nonfinite_steps=sum(
            1 for event in _of_kind(events, "step") if isinstance(event["loss"], str)
        ),
        loss_scale_skips=sum(int(event.get("skipped", 0)) for event in _of_kind(events, "step")),
        proof=_proof(events, start),
    )


def _proof(events: Sequence[Mapping[str, Any]], start: Mapping[str, Any]) -> str:
    """What the start said of the device, and what was seen of it until the end."""
    seen = [event["proof"] for event in _of_kind(events, "device")]
    return "; ".join([start.get("proof", "")] + seen[-1:])


def _log_digest(log: Optional[Path]) -> Optional[str]:
    return sha256_of(log) if log is not None and Path(log).exists() else None


def _checkpoint_digest(events: Sequence[Mapping[str, Any]]) -> Optional[str]:
    written = _of_kind(events, "checkpoint")
    return written[-1]["sha256"] if written else None


def from_run_folder(folder: Path) -> RunRecord:
    """Makes the record of the run whose folder this is.

    Raises:
        ZooError: the folder holds no run log, or one without a start event.
    """
    folder = Path(folder)
    log_path = folder / "rank_0" / run_log.FILE_NAME
    if not log_path.exists():
        raise ZooError(f"{folder} is not a run folder: it has no {log_path.relative_to(folder)}")
    events = run_log.effective_events(log_path)
    marker = read_marker(folder)
    start: Mapping[str, Any] = next((event for event in events if event["event"] == "start"), {})
    return from_events(
        events,
        "direct" if marker.case is None else marker.case,
        _shown(start.get("command", "") if marker.command is None else marker.command),
        human_log(folder),
    )


def _shown(command: str) -> str:
    try:
        return " ".join(shlex.quote(word) for word in without_folders(shlex.split(command)))
    except ValueError:  # a quote that nobody closed
        return command


def human_log(folder: Path) -> Optional[Path]:
    """The human log of rank 0 in a run folder; None where there is none."""
    return next(iter(sorted(Path(folder).glob("train_*.log"))), None)
