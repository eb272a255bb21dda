"""What a report shows of a run, read from its folder, record or log as far as it can be read."""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Deque, Dict, List, Optional, Sequence, Tuple

from common.core.errors import UsageError, ZooError
from common.evidence.comparison.runs import DEVICE_LABELS, Group, Run, check_device, read_run
from common.evidence.logs.reading import is_record, read_log, series_of_record
from common.evidence.logs.text import read_blocks
from common.runs import record as run_record
from common.runs import store as record_store
from common.runs.record import RunRecord

TAIL_LINES = 60
LONGEST_LINE = 400
LONGEST_LABEL = 28
PICTURES_FOLDER = "pictures"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class ReportedRun:
    """A run with what only a report shows.

    label: its name on the page. group: the label it shares with other seeds. record: None for a
    bare log, or where it is damaged. pictures: files, whatever they hold.
    """

    label: str
    group: str
    run: Run
    record: Optional[RunRecord]
    pictures: Tuple[Path, ...]
    log_tail: Tuple[str, ...]


def read_reported(path: Path, label: str) -> ReportedRun:
    """Reads a run for a report; what is damaged is a note of the run.

    Raises:
        UsageError: there is no such file, or its record names another device than the label.
        ZooError: nothing of it can be read.
    """
    record = None
    try:
        run = read_run(path, label)
        if is_record(path):
            record = _record_of(path)
    except UsageError:
        raise
    except ZooError as error:
        run = _rescued(path, error)
        check_device(label, run)
    log = log_of(path)
    tail = () if log is None else tuple(tail_of(log))
    return ReportedRun(label, label, run, record, tuple(pictures_of(path)), tail)


def _record_of(path: Path) -> RunRecord:
    return run_record.from_run_folder(path) if path.is_dir() else run_record.read_record(path)


def _rescued(path: Path, damage: ZooError) -> Run:
    """What can be read of a run without its record: events, or the log for people."""
    log = log_of(path) if is_record(path) else None
    for read in (lambda: series_of_record(path), lambda: read_log(log) if log else None):
        try:
            found = read()
        except ZooError:
            continue
        if found is not None and any(len(series) for series in found.series.values()):
            note = f"damaged: {damage}; the curves are from {found.source}, all else is not known"
            series = {name: one for name, one in found.series.items() if len(one)}
            return Run(str(path), series, notes=(note, *found.notes))
    raise damage


def labelled(runs: Sequence[ReportedRun], given: Sequence[Optional[str]]) -> List[ReportedRun]:
    """The runs under short labels that differ.

    Args:
        given: of each run the label that the user gave; several runs of one are several seeds. A
            run without one is called by what tells its record from the others', else by its name.

    Raises:
        UsageError: two runs have one name and no label.
    """
    free = [run for run, label in zip(runs, given) if label is None]
    names = dict(zip((id(run) for run in free), _short_names(free)))
    groups = [names[id(run)] if label is None else label for run, label in zip(runs, given)]
    for number, (group, label) in enumerate(zip(groups, given)):
        if group in groups[:number] and (label is None or given[groups.index(group)] is None):
            raise UsageError(f"two runs are called {group!r}; give LABEL=PATH")
    found = []
    for number, (run, group) in enumerate(zip(runs, groups)):
        several = groups.count(group) > 1
        label = f"{group} {groups[: number + 1].count(group)}" if several else group
        found.append(dataclasses.replace(run, label=label, group=group))
    return found


def groups_of(runs: Sequence[ReportedRun]) -> List[Group]:
    """The runs by their groups, as they are compared."""
    found: Dict[str, List[Run]] = {}
    for one in runs:
        found.setdefault(one.group, []).append(one.run)
    return [Group(label, tuple(members)) for label, members in found.items()]


def _short_names(runs: Sequence[ReportedRun]) -> List[str]:
    """By what differs in their records; else by their files, of long names the end."""
    records = [run.record for run in runs if run.record is not None]
    if len(runs) > 1 and len(records) == len(runs):
        differing = [column for column in zip(*map(_told, records)) if len(set(column)) > 1]
        names = [", ".join(row) for row in zip(*differing)]
        if len(set(names)) == len(runs) and max(map(len, names)) <= LONGEST_LABEL:
            return names
    paths = [Path(run.run.source).resolve() for run in runs]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    names = [name[: -len(".json")] if name.endswith(".json") else name for name in names]
    names = [name + " run" if name in DEVICE_LABELS else name for name in names]
    if len(names) == len(records) == 1 and len(names[0]) > LONGEST_LABEL:
        return [f"{records[0].case}, seed {records[0].seed}"]
    return [name if len(name) <= LONGEST_LABEL else "…" + name[-LONGEST_LABEL:] for name in names]


def _told(record: RunRecord) -> List[str]:
    """What a short label may say of a run."""
    device = record.device
    return [
        record.case,
        record.dataset.name,
        f"{device.count} {device.kind.upper()}",
        record.precision.arithmetic,
        f"batch {record.batch.total}",
        f"{record.progress.target_steps:,} steps",
        f"seed {record.seed}",
    ]


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
        last.extend(block.rstrip(b"\n").split(b"\n")[-lines:])
    return [
        _CONTROL.sub(
            "", line[: 4 * LONGEST_LINE].decode("utf-8", "replace").rstrip("\r\n").split("\r")[-1]
        )[:LONGEST_LINE]
        for line in last
    ]


def pictures_of(path: Path) -> List[Path]:
    """The files in the pictures folder of a run, the newest first."""
    folder = (path if path.is_dir() else path.parent) / PICTURES_FOLDER
    if not is_record(path) or not folder.is_dir():
        return []
    files = [file for file in folder.iterdir() if file.is_file()]
    return sorted(files, key=lambda file: (-file.stat().st_mtime, file.name))
