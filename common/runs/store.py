"""results/: the records that tables are made from, append-only, each with its compressed logs."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple

from common.core.errors import ZooError
from common.core.files import FolderLock, write_atomically
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.marker import MARKER
from common.runs.record import RunRecord

FOLDER = "results"
LOG_SUFFIX = ".log.gz"
EVENTS_SUFFIX = ".metrics.jsonl.gz"


@dataclasses.dataclass(frozen=True)
class Verified:
    """A run as its events tell it, and where what is kept beside them says something else.

    Attributes:
        record: made anew from the events; None where they make none.
        contradictions: one line each; a run with any proves nothing.
    """

    record: Optional[RunRecord]
    contradictions: Tuple[str, ...]


def verified_record(place: Path) -> Verified:
    """The record of a run folder, or of a record that results/ keeps, made anew from its events.

    Args:
        place: a run folder, its record.json, or results/<model>/<run id>.json.

    Raises:
        ZooError: there is nothing at the place.
    """
    place = Path(place)
    if not place.exists():
        raise ZooError(f"{place} does not exist; give a run folder or a record")
    if place.is_dir() or place.name == run_record.FILE_NAME:
        return _verified_folder(place if place.is_dir() else place.parent)
    return _verified_kept(place)


def _verified_folder(folder: Path) -> Verified:
    try:
        made = run_record.from_run_folder(folder)
    except (ZooError, KeyError, TypeError, ValueError) as error:
        return Verified(None, (" ".join(str(error).split()),))
    found = [] if made.log_sha256 else [f"{folder} has no human log train_*.log"]
    path = folder / run_record.FILE_NAME
    if path.exists():
        found += _differences(path, made)
    elif (folder / MARKER).exists():
        found.append(f"{path} is missing: the launcher writes one at the end of a run")
    return Verified(made, tuple(found))


def _verified_kept(path: Path) -> Verified:
    try:
        kept = run_record.read_record(path)
        with tempfile.TemporaryDirectory() as folder:
            events = Path(folder) / run_log.FILE_NAME
            events.write_bytes(_unpacked(path.with_suffix(EVENTS_SUFFIX)))
            made = run_record.from_events(run_log.effective_events(events), kept.case, kept.command)
        made = dataclasses.replace(made, log_sha256=log_sha256(path))
    except (ZooError, KeyError, TypeError, ValueError) as error:
        return Verified(None, (" ".join(str(error).split()),))
    found = [] if path.stem == made.run_id else [f"{path} is of the run {made.run_id}"]
    return Verified(made, tuple(found + _differences(path, made)))


def _differences(path: Path, made: RunRecord) -> List[str]:
    """How a written record differs from the one that its events make."""
    try:
        written = run_record.read_record(path)
    except ZooError as error:
        return [str(error)]
    pairs = _unequal("", dataclasses.asdict(written), dataclasses.asdict(made))
    return [
        f"{path}: {key} is {_short(old)}, and {_short(new)} by its events and log"
        for key, old, new in pairs
    ]


# Keys that records of earlier days do not have: nothing is said by their absence.
_LATER = ("first_batches_sha256", "metrics.best_on_validation.step")


def _unequal(key: str, old: Any, new: Any) -> Iterator[Tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(set(old) | set(new)):
            inner = f"{key}.{name}" if key else name
            yield from _unequal(inner, old.get(name), new.get(name))
    elif old != new and not (old is None and key in _LATER):
        yield key, old, new


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def record_path(root: Path, record: RunRecord) -> Path:
    """Where a record lies: results/<model>/<run id>.json."""
    return root / FOLDER / record.model / (record.run_id + ".json")


def keep(root: Path, run_folder: Path) -> Path:
    """Copies the record, human log and events of a finished run into results/; returns the record.

    Raises:
        ZooError: the run is kept already or still goes on, its folder is no run, or has no human
            log.
    """
    _require_ended(run_folder)
    record = run_record.from_run_folder(run_folder)
    log = run_record.human_log(run_folder)
    if log is None:
        raise ZooError(
            f"{run_folder} has no human log train_*.log; a record without its log proves nothing"
        )
    path = record_path(root, record)
    if path.exists():
        raise ZooError(f"{path} is kept already; results are never overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    events = Path(run_folder) / "rank_0" / run_log.FILE_NAME
    write_atomically(path.with_suffix(LOG_SUFFIX), _compress(log))
    write_atomically(path.with_suffix(EVENTS_SUFFIX), _compress(events))
    write_atomically(path, run_record.to_json(record))
    return path


def _require_ended(run_folder: Path) -> None:
    lock = FolderLock(run_folder)
    if not lock.path.exists():
        return
    if not lock.acquire():
        raise ZooError(
            f"{run_folder} is a run that still goes on (process {lock.holder()}); keep "
            "it when it has ended"
        )
    lock.release()


def _compress(path: Path) -> bytes:
    """Gzip without a time stamp, so that the same content gives the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream:
        stream.write(path.read_bytes())
    return packed.getvalue()


def records_of(root: Path, model: Optional[str] = None) -> List[RunRecord]:
    """The kept records of one network, or of all, by date.

    Raises:
        ZooError: a file that is no valid record.
    """
    pattern = "{}/*.json".format(model or "*")
    records = [run_record.read_record(path) for path in (root / FOLDER).glob(pattern)]
    return sorted(records, key=lambda record: (record.date, record.run_id))


def check_evidence(root: Path, record: RunRecord) -> None:
    """Raises ZooError unless the log beside a record is there and is the one it was made from."""
    path = record_path(root, record)
    if log_sha256(path) != record.log_sha256:
        raise ZooError(
            f"{path.with_suffix(LOG_SUFFIX)} is not the log its record was made from: "
            "the checksums differ"
        )


def log_sha256(record_file: Path) -> str:
    """The checksum of the log that is kept beside a record.

    Raises:
        ZooError: it is missing or damaged.
    """
    return hashlib.sha256(_unpacked(record_file.with_suffix(LOG_SUFFIX))).hexdigest()


def _unpacked(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ZooError(f"{path} of a record is missing or damaged: {error}") from error
