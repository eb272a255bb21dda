"""What a report shows of a run, read from its folder, record or log."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Deque, List, Optional, Tuple

from common.evidence.comparison.runs import Run
from common.evidence.comparison.sources import read_run
from common.evidence.html_page.images import kind_of_image
from common.evidence.logs.blocks import read_blocks
from common.evidence.logs.records import is_record
from common.runs import record as run_record
from common.runs import store as record_store
from common.runs.record import RunRecord

TAIL_LINES = 60
LONGEST_LINE = 400
MOST_PICTURES = 8
LARGEST_PICTURES = 6 << 20  # bytes of all of a run's pictures
PICTURES_FOLDER = "pictures"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Picture:
    """A picture that the run made: name, media type, the file's bytes."""

    name: str
    kind: str
    content: bytes


@dataclass(frozen=True)
class ReportedRun:
    """A run with what only a report shows; record None for a bare log."""

    label: str
    run: Run
    record: Optional[RunRecord]
    pictures: Tuple[Picture, ...]
    log_tail: Tuple[str, ...]


def read_reported(path: Path, label: str) -> ReportedRun:
    """Reads a run for a report; raises what comparison.sources.read_run raises."""
    path = Path(path)
    run = read_run(path, label)
    record = None
    if is_record(path):
        record = run_record.from_run_folder(path) if path.is_dir() else run_record.read_record(path)
    log = log_of(path)
    return ReportedRun(
        label, run, record, tuple(pictures_of(path)), tuple(tail_of(log)) if log is not None else ()
    )


def log_of(path: Path) -> Optional[Path]:
    """The human log of a run folder or record, or the log itself; None where there is none."""
    if path.is_dir():
        return run_record.human_log(path)
    if not is_record(path):
        return path
    kept = path.with_suffix(record_store.LOG_SUFFIX)
    if kept.exists():
        return kept
    return run_record.human_log(path.parent) if path.name == run_record.FILE_NAME else None


def tail_of(log: Path, lines: int = TAIL_LINES) -> List[str]:
    """The last lines of a log, plain or gzip, without colours and other control characters."""
    last: Deque[bytes] = deque(maxlen=lines)
    for block in read_blocks(log, []):
        last.extend(block.text.rstrip(b"\n").split(b"\n")[-lines:])
    return [
        _CONTROL.sub(
            "", line[: 4 * LONGEST_LINE].decode("utf-8", "replace").rstrip("\r\n").split("\r")[-1]
        )[:LONGEST_LINE]
        for line in last
    ]


def pictures_of(path: Path) -> List[Picture]:
    """The newest pictures of a run's folder, as many as a page can carry; by name."""
    folder = (path if path.is_dir() else path.parent) / PICTURES_FOLDER
    if not is_record(path) or not folder.is_dir():
        return []
    newest = sorted(
        (file for file in folder.iterdir() if file.is_file()),
        key=lambda file: (-file.stat().st_mtime, file.name),
    )
    found: List[Picture] = []
    room = LARGEST_PICTURES
    for file in newest:
        if len(found) == MOST_PICTURES or file.stat().st_size > room:
            continue
        content = file.read_bytes()
        kind = kind_of_image(content)
        if kind is not None:
            found.append(Picture(file.name, kind, content))
            room -= len(content)
    return sorted(found, key=lambda picture: picture.name)
