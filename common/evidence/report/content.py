"""What a report shows of a run, read from its folder, record or log as far as it can be read."""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Deque, Dict, List, Optional, Sequence, Tuple

from common.cards.model_card import DEVICES
from common.core.errors import UsageError, ZooError
from common.evidence.comparison.runs import Group, Run, check_device, read_run
from common.evidence.html_page.render import kind_of_image
from common.evidence.logs.reading import is_record, read_log, series_of_record
from common.evidence.logs.text import read_blocks
from common.runs import store
from common.runs.record import RunRecord

TAIL_LINES = 60
LONGEST_LINE = 400
LONGEST_LABEL = 28
PICTURES_FOLDER = "pictures"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # colours are gone already


@dataclass(frozen=True)
class ReportedRun:
    """A run with what only a report shows.

    label: its name on the page. group: the label it shares with other seeds. pictures: image files.
    """

    label: str
    group: str
    run: Run
    pictures: Tuple[Path, ...]
    log_tail: Tuple[str, ...]

    @property
    def record(self) -> Optional[RunRecord]:
        """None for a bare log, or where it is damaged."""
        return self.run.record


def read_reported(path: Path, label: str) -> ReportedRun:
    """Reads a run for a report; what is damaged is a note of the run.

    Raises:
        UsageError: there is no such file, or its record names another device than the label.
        ZooError: nothing of it can be read.
    """
    log = _log_of(path)
    try:
        run = read_run(path, label)
    except UsageError:
        raise
    except ZooError as damage:
        run = _rescued(path, log if is_record(path) else None, damage)
        check_device(label, run)
    folder = (path if path.is_dir() else path.parent) / PICTURES_FOLDER
    files = [file for file in folder.glob("*") if file.is_file()] if is_record(path) else []
    pictures = list(filter(_is_picture, files))
    tail = () if log is None else tuple(tail_of(log))
    return ReportedRun(label, label, run, tuple(pictures), tail)


def _is_picture(path: Path) -> bool:
    with path.open("rb") as stream:
        return kind_of_image(stream.read(16)) is not None


def _rescued(path: Path, log: Optional[Path], damage: ZooError) -> Run:
    """What can be read of a run without its record: events, or the log for people."""
    for read, source in ((series_of_record, path), (read_log, log)):
        try:
            found = read(source) if source is not None else None
        except ZooError:
            continue
        if found is not None and found.series:
            note = f"damaged: {damage}; the curves are from {found.source}, all else is not known"
            return Run(str(path), found.series, notes=(note, *found.notes))
    raise damage


def labelled(runs: Sequence[ReportedRun], given: Sequence[Optional[str]]) -> List[ReportedRun]:
    """The runs under short labels that differ.

    Args:
        given: of each run the label that the user gave; several runs of one are several seeds. A
            run without one is called by what tells its record from the others', else by its name.

    Raises:
        UsageError: two runs have one name and no label.
    """
    names = iter(_short_names([run for run, label in zip(runs, given) if label is None]))
    groups = [next(names) if label is None else label for label in given]
    found = []
    for number, (run, group) in enumerate(zip(runs, groups)):
        same = [other for other, name in enumerate(groups) if name == group]
        if len(same) > 1 and any(given[other] is None for other in same):
            raise UsageError(f"two runs are called {group!r}; give LABEL=PATH")
        label = f"{group} {same.index(number) + 1}" if len(same) > 1 else group
        found.append(replace(run, label=label, group=group))
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
    names = [name + " run" if name in DEVICES else name for name in names]
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


def _log_of(path: Path) -> Optional[Path]:
    """The human log of a run folder or record, or the log itself; None where there is none."""
    log = store.files_of(path).log if is_record(path) else path
    return log if os.path.exists(log) else None


def tail_of(log: Path, lines: int = TAIL_LINES) -> List[str]:
    """The last lines of a log, plain or gzip, without colours and other control characters."""
    last: Deque[bytes] = deque(maxlen=lines)
    for block in read_blocks(log, []):
        last.extend(block.rstrip(b"\n").split(b"\n")[-lines:])
    texts = [line[: 4 * LONGEST_LINE].decode("utf-8", "replace").rstrip("\r\n") for line in last]
    return [_CONTROL.sub("", text.split("\r")[-1])[:LONGEST_LINE] for text in texts]
