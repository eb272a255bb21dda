"""results/: the records that tables are made from, append-only, each with its compressed logs."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from common.core.codec import json_text, plain
from common.core.errors import ZooError
from common.core.files import FolderLock, write_atomically
from common.core.text import quoted, shortened
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.marker import COMPLETE, MARKER, RUNNING, Marker, read_marker
from common.runs.record import RunRecord

FOLDER = "results"
LOG_SUFFIX = ".log.gz"
EVENTS_SUFFIX = ".metrics.jsonl.gz"
# Keys that records of earlier days do not have: their absence says nothing.
_LATER = (
    "first_batches_sha256",
    "metrics.best_on_validation.step",
    "metrics.split",
    "metrics.step",
    "speed.percentiles",
)


class RunFiles(NamedTuple):
    """Where the record, the events and the human log of a run are, or would be."""

    record: Path
    events: Path
    log: Path


def files_of(place: Path) -> RunFiles:
    """The files of a run folder, of its record.json, or of a record that results/ keeps."""
    place = Path(place)
    folder = place.parent if place.name == run_record.FILE_NAME else place
    if os.path.isdir(folder):  # no error for a name that no file can have
        log = run_record.human_log(folder) or folder / "train_*.log"
        events = folder / "rank_0" / run_log.FILE_NAME
        return RunFiles(folder / run_record.FILE_NAME, events, log)
    return RunFiles(place, place.with_suffix(EVENTS_SUFFIX), place.with_suffix(LOG_SUFFIX))


class Verified(NamedTuple):
    """A run as its events tell it, and where what is kept beside them says something else.

    Attributes:
        record: made anew from the events; None where they make none.
        contradictions: one line each; a run with any proves nothing.
        events: the effective ones; log: the human log.
    """

    record: Optional[RunRecord]
    contradictions: Tuple[str, ...]
    events: Tuple[run_log.Event, ...] = ()
    log: str = ""


def verified_record(place: Path) -> Verified:
    """The record of a run, made anew from its events and compared with all else.

    Args:
        place: a run folder, its record.json, or results/<model>/<run id>.json.

    Raises:
        ZooError: there is nothing at the place.
    """
    place = Path(place)
    if not place.exists():
        raise ZooError(f"{place} does not exist; give a run folder or a record")
    try:
        return _verified(files_of(place))
    except ZooError as error:
        return Verified(None, tuple(str(error).splitlines()))


def _verified(files: RunFiles) -> Verified:
    in_results, folder = files.events.suffix == ".gz", files.record.parent
    kept = run_record.read_record(files.record) if in_results or files.record.exists() else None
    log = _content(files.log) if in_results or files.log.exists() else None
    digest = None if log is None else hashlib.sha256(log).hexdigest()
    old = kept is not None and kept.speed.percentiles is None  # of earlier days, by another rule
    method = None if old else run_record.PERCENTILES
    found: List[str] = []
    if in_results and kept is not None:
        events, where = run_log.effective_events(files.events), str(files.events)
        made = run_record.from_events(events, kept.case, kept.command, digest, where, method)
        if (folder.name, files.record.stem) != (made.model, made.run_id):
            found.append(f"{files.record} is of the run {shortened(made.run_id, 80)} by its events")
    else:
        made, events = run_record.record_and_events(folder, method)
        if (folder / MARKER).exists():
            found += _of_marker(read_marker(folder), made, folder)
    if digest is None:
        found.append(f"{folder} has no human log train_*.log; without one a record proves nothing")
    elif digest != made.log_sha256:
        found.append(f"{files.log}: the log is not the one that the run ended with")
    if kept is not None:
        launched = not old and kept.case != run_record.DIRECT  # old ones lack the launcher's word
        if launched and "launch" not in [one["event"] for one in events]:
            found.append(f"{files.record}: its events lack the launcher's word on the end (launch)")
        for key, said, new in differences(plain(kept), plain(made)):
            if said is not None or key not in _LATER:
                told = (
                    f"{shortened(key, 80)} is {quoted(said)}, and {quoted(new)} by events and log"
                )
                found.append(f"{files.record}: {told}")
    text = "" if log is None else log.decode("utf-8", "replace")
    return Verified(made, tuple(found), tuple(events), text)


def _of_marker(marker: Marker, made: RunRecord, folder: Path) -> Iterator[str]:
    """What speaks against a run that was launched."""
    told = f"{folder / MARKER}: state {marker.state or 'nothing'}, exit code {marker.exit_code}"
    if marker.exit_code is None or marker.state in ("", RUNNING):
        yield f"{told}: the launcher has not ended the run"
    elif (marker.exit_code == 0) != (marker.state == COMPLETE):
        yield f"{told}: one of them is wrong"
    for name in ("model", "task", "case"):
        said, new = getattr(marker, name), getattr(made, name)
        if said != new and (said is not None or name == "case"):
            yield f"{folder / MARKER}: {name} is {quoted(said)}, and {quoted(new)} by the events"
    if not (folder / run_record.FILE_NAME).exists():
        yield f"{folder / run_record.FILE_NAME} is missing: the launcher writes one at the end"


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], within: str = ""
) -> Iterator[Tuple[str, Any, Any]]:
    """The leaves in which nested mappings differ: dotted key, old and new value, None if absent."""
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, f"{within}{name}.")
        elif one != other:
            yield within + name, one, other


def _content(path: Path) -> bytes:
    """The bytes of a log, unpacked; ZooError where it is missing or damaged."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise ZooError(f"the log {path} of a record is missing or damaged: {error}") from error


# --- what is kept ---


def record_path(root: Path, record: RunRecord) -> Path:
    """Where a record lies: results/<model>/<run id>.json."""
    return root / FOLDER / record.model / (record.run_id + ".json")


def keep(root: Path, run_folder: Path) -> Path:
    """Copies the record, human log and events of a finished run into results/.

    The record is the one that the launcher wrote, as it is; one is made only of a run that nobody
    launched.

    Returns:
        The kept record's path.

    Raises:
        ZooError: the run is kept already or still goes on, its folder is no run, has no human
            log, or says something else than its events.
    """
    run_folder = Path(run_folder)
    lock = FolderLock(run_folder)
    if lock.path.exists():
        if not lock.acquire():
            raise ZooError(
                f"{run_folder} is a run that still goes on (process {lock.holder()}); keep it when "
                "it has ended"
            )
        lock.release()
    run, files = verified_record(run_folder), files_of(run_folder)
    if run.record is None or run.contradictions:
        raise ZooError("\n".join(run.contradictions))
    path = record_path(root, run.record)
    if path.exists():
        raise ZooError(f"{path} is kept already; results are never overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, source in ((LOG_SUFFIX, files.log), (EVENTS_SUFFIX, files.events)):
        packed = io.BytesIO()  # without a time stamp: the same content gives the same bytes
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream:
            stream.write(source.read_bytes())
        write_atomically(path.with_suffix(suffix), packed.getvalue())
    text = json_text(run.record)
    write_atomically(path, files.record.read_bytes() if files.record.exists() else text)
    return path


def records_of(root: Path, model: Optional[str] = None) -> Tuple[List[RunRecord], List[str]]:
    """The kept records of one network, or of all, by date, and why others are left out."""
    return _kept(root, model or "*", lambda path: Verified(run_record.read_record(path), ()))


def verified_records(root: Path) -> Tuple[List[RunRecord], List[str]]:
    """The kept records that their events and logs bear out, by date, and what else is wrong."""
    records, problems = _kept(root, "*", verified_record)
    problems += [
        f"{path} has no record beside it"
        for suffix in (LOG_SUFFIX, EVENTS_SUFFIX)
        for path in sorted((root / FOLDER).glob("*/*" + suffix))
        if not path.with_name(path.name[: -len(suffix)] + ".json").exists()
    ]
    return records, problems


def _kept(
    root: Path, model: str, read: Callable[[Path], Verified]
) -> Tuple[List[RunRecord], List[str]]:
    records: List[RunRecord] = []
    problems: List[str] = []
    for path in sorted((root / FOLDER).glob(f"{model}/*.json")):
        try:
            run = read(path)
        except ZooError as error:
            run = Verified(None, tuple(str(error).splitlines()))
        if run.record is None or run.contradictions:
            problems += run.contradictions
        else:
            records.append(run.record)
    return sorted(records, key=lambda record: (record.date, record.run_id)), problems
