"""results/: the records that tables are made from, append-only, each with its compressed logs."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import List, Optional

from common.core.errors import ZooError
from common.core.files import FolderLock, write_atomically
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.record import RunRecord

FOLDER = "results"
LOG_SUFFIX = ".log.gz"
EVENTS_SUFFIX = ".metrics.jsonl.gz"


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
    path = record_file.with_suffix(LOG_SUFFIX)
    try:
        return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        raise ZooError(f"the log {path} of a record is missing or damaged: {error}") from error
