"""results/: the records that tables are made from, append-only, each with its compressed logs."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple

from common.core.codec import plain
from common.core.errors import ZooError
from common.core.files import FolderLock, sha256_of, write_atomically
from common.core.text import quoted, shortened
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.marker import MARKER, read_marker
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
    try:
        if place.is_dir() or place.name == run_record.FILE_NAME:
            return _verified_folder(place if place.is_dir() else place.parent)
        return _verified_kept(place)
    except ZooError as error:
        return Verified(None, tuple(str(error).splitlines()))


def _verified_folder(folder: Path) -> Verified:
    made = run_record.from_run_folder(folder)
    marker, path = folder / MARKER, folder / run_record.FILE_NAME
    log = run_record.human_log(folder)
    found = list(_about_the_log(made, None if log is None else sha256_of(log), str(folder)))
    if marker.exists():
        launched = read_marker(folder)
        if launched.exit_code is None:
            found.append(f"{marker}: the launcher has not ended the run")
        if launched.case != made.case:
            found.append(
                f"{marker}: case is {quoted(launched.case)}, and {quoted(made.case)} by the events"
            )
        if not path.exists():
            found.append(f"{path} is missing: the launcher writes one at the end of a run")
    if path.exists():
        events = folder / "rank_0" / run_log.FILE_NAME
        found += _contradicting(path, made, run_log.effective_events(events))
    return Verified(made, tuple(found))


def _verified_kept(path: Path) -> Verified:
    kept, digest = run_record.read_record(path), log_sha256(path)
    place = path.with_suffix(EVENTS_SUFFIX)
    events = run_log.effective_events(place)
    made = run_record.from_events(events, kept.case, kept.command, digest, str(place))
    found = list(_about_the_log(made, digest, str(path.with_suffix(LOG_SUFFIX))))
    if (path.parent.name, path.stem) != (made.model, made.run_id):
        found.append(f"{path} is of the run {shortened(made.run_id, 80)} by its events")
    return Verified(made, tuple(found + _contradicting(path, made, events)))


def _about_the_log(made: RunRecord, digest: Optional[str], where: str) -> Iterator[str]:
    if digest is None:
        yield f"{where} has no human log train_*.log; a record without its log proves nothing"
    elif digest != made.log_sha256:
        yield f"{where}: the log is not the one that the run ended with"


def _contradicting(path: Path, made: RunRecord, events: Sequence[run_log.Event]) -> List[str]:
    """How a written record differs from the one that its events make."""
    written = run_record.read_record(path)
    found = []
    if written.speed.percentiles is None:  # of earlier days: another rule, no word of the launcher
        as_then = run_record.speed_of(events, None)
        made = dataclasses.replace(made, speed=as_then)
    elif written.case != run_record.DIRECT and not any(
        event["event"] == "launch" for event in events
    ):
        found.append(f"{path}: its events lack the launcher's word on the end (launch)")
    return found + [
        f"{path}: {shortened(key, 80)} is {quoted(old)}, and {quoted(new)} by events and log"
        for key, old, new in _unequal("", plain(written), plain(made))
        if old is not None or key not in _LATER
    ]


def _unequal(key: str, old: Any, new: Any) -> Iterator[Tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(set(old) | set(new)):
            inner = f"{key}.{name}" if key else name
            yield from _unequal(inner, old.get(name), new.get(name))
    elif old != new:
        yield key, old, new


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
    _require_ended(run_folder)
    run = verified_record(run_folder)
    if run.record is None or run.contradictions:
        raise ZooError("\n".join(run.contradictions))
    path = record_path(root, run.record)
    if path.exists():
        raise ZooError(f"{path} is kept already; results are never overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    log, written = run_record.human_log(run_folder), run_folder / run_record.FILE_NAME
    events = run_folder / "rank_0" / run_log.FILE_NAME
    for suffix, source in ((LOG_SUFFIX, log), (EVENTS_SUFFIX, events)):
        if source is not None:
            write_atomically(path.with_suffix(suffix), _compress(source))
    text = run_record.to_json(run.record).encode("utf-8")
    write_atomically(path, written.read_bytes() if written.exists() else text)
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
