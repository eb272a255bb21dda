"""Reads finished runs, with what tells whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

from common.core.errors import UsageError, ZooError
from common.evidence.gate.soundness import GivenRun
from common.launch import run_folder
from common.runs import record as run_record
from common.runs import store as record_store
from common.runs.record import RunRecord


def read_runs(path: Path) -> List[GivenRun]:
    """The runs under a path: a record file, a run folder, or the folder of several seeds.

    Raises:
        UsageError: there is nothing at the path.
    """
    path = Path(path)
    if path.is_file():
        return [_from_record_file(path)]
    if not path.is_dir():
        raise UsageError(f"{path} does not exist; give run folders or records")
    seeds = run_folder.read_marker(path).seeds
    folders = [path / run_folder.SEED_FOLDER.format(seed) for seed in seeds] or [path]
    return [read_run_folder(folder) for folder in folders]


def read_run_folder(folder: Path) -> GivenRun:
    """A run folder: its record made from its events, checked against the one that was written."""
    marker = run_folder.read_marker(folder)
    state, code = marker.state, marker.exit_code
    reason = marker.fault or marker.reason or ""
    try:
        record = run_record.from_run_folder(folder)
    except (ZooError, KeyError, TypeError, ValueError) as error:
        return GivenRun(str(folder), None, state, code, reason or _one_line(error))
    return GivenRun(str(folder), record, state, code, reason, _doubts(folder, record))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _doubts(folder: Path, record: RunRecord) -> Tuple[str, ...]:
    """What the record that was written at the run's end knows better than the logs do now."""
    path = folder / run_record.FILE_NAME
    if not path.exists():
        return ()
    try:
        written = run_record.read_record(path)
    except ZooError as error:
        return (_one_line(error),)
    found = []
    if written.log_sha256 != record.log_sha256:
        found.append("the log is not the one that the record was made from")
    if written.status == run_record.COMPLETE and (written.metrics, written.progress) != (
        record.metrics,
        record.progress,
    ):
        found.append("the events are not those that the record was made from")
    return tuple(found)


def _from_record_file(path: Path) -> GivenRun:
    """A record, as results/ keeps them; the log beside it, where there is one, must be its own."""
    try:
        record = run_record.read_record(path)
    except ZooError as error:
        return GivenRun(str(path), None, reason=_one_line(error))
    if path.name == run_record.FILE_NAME:
        return read_run_folder(path.parent)
    return GivenRun(str(path), record, doubts=_of_evidence(path, record))


def _of_evidence(path: Path, record: RunRecord) -> Tuple[str, ...]:
    try:
        digest = record_store.log_sha256(path)
    except ZooError:
        return ("its log is missing or damaged",)
    return () if digest == record.log_sha256 else ("the log beside it is another run's",)
