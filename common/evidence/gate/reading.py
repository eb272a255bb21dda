"""Reads finished runs: each record made anew from its events, and what speaks against it."""

from __future__ import annotations

import dataclasses
import gzip
import re
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from common.cards.model_folders import checkout_root, find_card
from common.core.errors import UsageError, ZooError
from common.core.text import quoted
from common.launch import run_folder
from common.launch.outcome import MISSING
from common.runs import record as run_record
from common.runs import store as record_store
from common.runs.events import FILE_NAME, effective_events
from common.runs.marker import Marker, read_marker
from common.runs.provenance import SEED_NAMES, config_sha256
from common.runs.record import COMPLETE, RunRecord

_FINAL_LINE = re.compile(r"^(Final (?:Train Accuracy|Performance images/sec)) : (\S+)$", re.M)


@dataclasses.dataclass(frozen=True)
class GivenRun:
    """A run to judge, with what is known of how it ended.

    Attributes:
        source: its folder or record.
        record: made anew from the events; None where they make none.
        state, exit_code: as the launcher's marker has them; "" and None where nobody launched it.
        reason: what the launcher says of the end.
        doubts: why what is kept of the run can't be taken for whole.
    """

    source: str
    record: Optional[RunRecord]
    state: str = ""
    exit_code: Optional[int] = None
    reason: str = ""
    doubts: Tuple[str, ...] = ()


def read_runs(path: Path) -> List[GivenRun]:
    """The runs under a path: a record file, a run folder, or the folder of several seeds.

    Raises:
        UsageError: there is nothing at the path.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist; give run folders or records")
    if path.is_file() and path.name != run_record.FILE_NAME:
        return [_kept_run(path)]
    folder = path if path.is_dir() else path.parent
    seeds = read_marker(folder).seeds
    if not seeds:
        return [read_run_folder(folder)]
    # A seed that the marker leaves out, or whose folder is gone, is one that was not liked.
    names = {path.name for path in folder.glob(run_folder.SEED_FOLDER.format("*"))}
    names.update(run_folder.SEED_FOLDER.format(seed) for seed in seeds)
    return [read_run_folder(folder / name) for name in sorted(names)]


def read_run_folder(folder: Path) -> GivenRun:
    """A run folder, with what its launcher says of it."""
    log = run_record.human_log(folder)
    events = folder / "rank_0" / FILE_NAME
    run = _read(folder, events, log.read_text("utf-8", "replace") if log else "")
    marker = read_marker(folder)
    return dataclasses.replace(
        run,
        state=marker.state,
        exit_code=marker.exit_code,
        reason=marker.reason or "",
        doubts=(*_of_marker(marker, run.record), *run.doubts),
    )


def _of_marker(marker: Marker, record: Optional[RunRecord]) -> Iterator[str]:
    """Where run.json contradicts itself or the record, or says nothing of the end."""
    told = f"run.json says state {marker.state or 'nothing'}, exit code {marker.exit_code}"
    if marker.fault:
        yield marker.fault
    elif marker.state in ("", run_folder.RUNNING):
        yield f"{told}: nobody saw the end"
    elif marker.exit_code is None or (marker.exit_code == 0) != (marker.state == COMPLETE):
        yield f"{told}: one of them is wrong"
    for name in ("model", "task"):
        said = marker.rest.get(name)
        if record is not None and said != getattr(record, name):
            yield f"run.json is of {name} {quoted(said)}, the events of {getattr(record, name)}"


def _kept_run(path: Path) -> GivenRun:
    """A record, as results/ keeps them with log and events."""
    try:
        log = gzip.decompress(path.with_suffix(record_store.LOG_SUFFIX).read_bytes())
    except (OSError, EOFError, ValueError):
        log = b""  # told by the record's own check
    events = path.with_suffix(record_store.EVENTS_SUFFIX)
    return _read(path, events, log.decode("utf-8", "replace"))


def _read(place: Path, events: Path, log: str) -> GivenRun:
    try:
        found = record_store.verified_record(place)
    except ZooError as error:
        return GivenRun(str(place), None, doubts=(str(error),))
    if found.record is None:
        return GivenRun(str(place), None, doubts=found.contradictions)
    doubts = [*found.contradictions, *_doubts(found.record, effective_events(events))]
    doubts += _of_log(found.record, log)
    return GivenRun(str(place), found.record, doubts=tuple(doubts))


def _doubts(record: RunRecord, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the events, which agree with the record, contradict by themselves."""
    if config_sha256(record.config) != record.config_sha256:
        yield "the configuration is not the one of its checksum"
    for name in SEED_NAMES:
        if record.config.get(name, record.seed) != record.seed:
            yield f"the seed is {record.seed}, in the configuration {record.config[name]}"
    steps = [event for event in events if event["event"] == "step"]
    wrong = sum(1 for event in steps if not 0 < event["samples"] <= record.batch.total)
    if wrong:
        yield f"{wrong} steps of more or fewer samples than a batch of {record.batch.total}"
    if record.status == COMPLETE:
        yield from _of_progress(record, steps)
        yield from _of_evaluation(record)
    starts = [number for number, event in enumerate(events) if event["event"] == "start"]
    life = events[starts[-1] :]
    ends = [event for event in life if event["event"] == "end"]
    finals = [event for event in life if event.get("role") == "final"]
    for name, found in (("end", ends), ("final evaluation", finals)):
        if len(found) > 1:
            yield f"the events have {len(found)} of one {name}"


def _of_progress(record: RunRecord, steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    done, target = record.progress.steps, record.progress.target_steps
    if done != target:
        yield f"{done} of {target} steps"
    if 0 < record.progress.epochs != record.progress.target_epochs:
        yield f"{record.progress.epochs} of {record.progress.target_epochs} epochs"
    # A step that the loss scale skips has the number of the one before.
    taken = [event["step"] for event in steps if not event.get("skipped")]
    logged = {event["step"] for event in steps if 1 <= event["step"] <= done}
    if len(logged) < done:
        yield f"the log holds {len(logged)} of {done} steps"
    if len(set(taken)) < len(taken):
        yield f"{len(taken) - len(set(taken))} steps are in the log twice"


def _of_evaluation(record: RunRecord) -> Iterator[str]:
    """The reference says which split and how many samples it must be."""
    found, counts = record.metrics, record.dataset.counts
    if not found.final:
        return
    if not 1 <= found.n_eval <= counts.get(str(found.split), 0):
        known = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        yield f"the final evaluation is of {found.n_eval} samples of {found.split}, of {known}"
    if record.progress.target_steps and found.step != record.progress.steps:
        yield f"the final evaluation is of step {found.step}, the last is {record.progress.steps}"


def _of_log(record: RunRecord, log: str) -> Iterator[str]:
    """Where the launcher's last lines in the log of a good run tell other figures."""
    if record.status != COMPLETE:
        return
    try:
        metric = find_card(checkout_root(), record.model).task(record.task).metric
    except ZooError as error:
        yield str(error)
        return
    accuracy, speed = record.metrics.final.get(metric.name), record.speed.samples_per_second
    said = dict(_FINAL_LINE.findall(log))
    for name, value in (
        ("Final Train Accuracy", MISSING if accuracy is None else metric.told(accuracy)),
        ("Final Performance images/sec", MISSING if speed is None else f"{speed:.2f}"),
    ):
        if said.get(name) != value:
            yield f"the log says {name} {said.get(name, 'nowhere')}, the events {value}"
