"""Checksums that nobody publishes: recorded when a dataset first came, compared from then on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional

from common.core.errors import ZooError
from common.core.files import utc_stamp, write_atomically
from common.core.terminal import Terminal
from common.data.hashing import digest
from common.data.progress import ByteProgress
from common.data.unpack import FileFacts

SCHEMA_VERSION = 1
FILE_NAME = "checksums.json"
AT_FIRST_USE = "recorded at first use"


@dataclasses.dataclass(frozen=True)
class Entry:
    """Size and sha256 of a file; source says how they came to be known."""

    size: int
    sha256: str
    source: str


def read_recorded(state: Path) -> Dict[str, Entry]:
    """What was recorded, by path below the data folder; empty where nothing was.

    Raises:
        ZooError: the record is damaged.
    """
    path = state / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        content = json.loads(text)
        return {
            name: Entry(int(entry["size"]), str(entry["sha256"]), str(entry["source"]))
            for name, entry in content["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZooError(
            f"{path} is damaged; move it away, and what is there is recorded anew"
        ) from error


def add_to_recorded(state: Path, entries: Mapping[str, Entry]) -> None:
    """Adds entries to the record; an older entry of a path gives way."""
    write_recorded(state, dict(read_recorded(state), **entries))


def write_recorded(state: Path, entries: Mapping[str, Entry]) -> None:
    """Makes these entries the record, atomically."""
    state.mkdir(parents=True, exist_ok=True)
    content = {
        "schema_version": SCHEMA_VERSION,
        "dataset": state.name,
        "files": {name: dataclasses.asdict(entries[name]) for name in sorted(entries)},
    }
    write_atomically(state / FILE_NAME, json.dumps(content, indent=0) + "\n")


def unpacked_entries(
    facts: Mapping[str, FileFacts], archive: str, source: Optional[str]
) -> Dict[str, Entry]:
    """Entries of what an archive held; source is who publishes the archive's checksum."""
    how = "unpacked {} from {}, {}".format(
        utc_stamp(),
        archive,
        f"checked against {source}" if source else "which nobody publishes a checksum of",
    )
    return {name: Entry(fact.size, fact.sha256, how) for name, fact in facts.items()}


def entries_of(root: Path, paths: Iterable[str], terminal: Terminal) -> Dict[str, Entry]:
    """Entries of files that are there and that nothing is known of."""
    how = f"{AT_FIRST_USE} {utc_stamp()}"
    sizes = {path: (root / path).stat().st_size for path in paths}
    progress = ByteProgress(terminal, "recording checksums", sum(sizes.values()))
    found: Dict[str, Entry] = {}
    done = 0
    for path, size in sizes.items():
        found[path] = Entry(size, digest(root / path, "sha256", progress, done), how)
        done += size
    progress.done()
    return found
