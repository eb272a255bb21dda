"""Compares the files of a dataset with the checksums that are published or were recorded.

A checksum that nobody publishes is recorded when a dataset first comes, and compared from then on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import attrs

from common.core.errors import ZooError
from common.core.files import FolderLock, sha256_of, utc_stamp, write_atomically
from common.core.terminal import Terminal
from common.data.catalogue import (
    DESCRIPTION,
    GZIP,
    NOT_PACKED,
    DataFile,
    Dataset,
    state_folder,
    usable_paths,
)
from common.data.progress import ByteProgress, digest
from common.data.unpack import FileFacts

SCHEMA_VERSION = 1
FILE_NAME = "checksums.json"
AT_FIRST_USE = "recorded at first use"


@attrs.frozen
class Expected:
    """What a file has to be; a size of None is not known. Source says how it came to be known."""

    value: str
    source: str
    size: Optional[int] = None
    algorithm: str = "sha256"


Sums = Dict[str, Expected]  # by path below the data folder


@attrs.frozen
class Verdict:
    """The outcome: files compared, a line for each bad one, files whose checksum is new."""

    compared: int
    bad: Tuple[str, ...]
    recorded: int
    sources: Tuple[str, ...]


def verify(
    dataset: Dataset, root: Path, terminal: Terminal, files: Optional[Sequence[DataFile]] = None
) -> Verdict:
    """Compares every file; what nothing is known of is recorded, where all of it is there.

    Args:
        files: those of the dataset's files to look at, by default all.
    """
    state = state_folder(root, dataset)
    recorded, unknown = read_recorded(state), []
    if dataset.generated_by:
        expected = recorded
        unknown = [] if expected else _generated_files(dataset, root)
    else:
        expected = {}
        for file in dataset.files if files is None else files:
            published = _published(file)
            later = {
                path: one
                for path, one in recorded.items()
                if path not in published and _belongs(path, dataset, file)
            }
            expected.update(published, **later)
            if not published and not later:
                unknown += _files_to_record(root, dataset, file)
    bad = _faults(root, expected, terminal)
    bad += [f"{path}: missing" for path in unknown if not (root / path).is_file()]
    if unknown and not bad:
        add_to_recorded(state, sums_of(root, unknown, terminal))
    kinds = {
        # Without the moment of recording, which differs from file to file.
        "what was " + AT_FIRST_USE if one.source.startswith(AT_FIRST_USE) else one.source
        for one in expected.values()
    }
    return Verdict(len(expected), tuple(bad), 0 if bad else len(unknown), tuple(sorted(kinds)))


def _published(file: DataFile) -> Sums:
    """What the catalogue says of a file as it is used: itself, or an archive's contents."""
    checksums, size = file.contents, None
    if file.unpack == NOT_PACKED:
        checksums, size = {file.path: file.checksum} if file.checksum else {}, file.size
    return {
        path: Expected(checksum.value, checksum.source, size, checksum.algorithm)
        for path, checksum in checksums.items()
    }


def _belongs(path: str, dataset: Dataset, file: DataFile) -> bool:
    if file.unpack in (NOT_PACKED, GZIP):
        return path in usable_paths(dataset, file)
    others = {other.path for other in dataset.files}
    return path.startswith(dataset.folder + "/") and path not in others


def _files_to_record(root: Path, dataset: Dataset, file: DataFile) -> List[str]:
    """What an unknown file brings; of an archive every file in the folder, and what lacks there."""
    needed = usable_paths(dataset, file)
    if file.unpack in (NOT_PACKED, GZIP):
        return needed
    return _files_below(root, dataset) + [path for path in needed if not (root / path).exists()]


def _files_below(root: Path, dataset: Dataset) -> List[str]:
    return sorted(
        str(path.relative_to(root))
        for path in (root / dataset.folder).rglob("*")
        if path.is_file() and path.name != FolderLock.NAME
    )


def _faults(root: Path, expected: Sums, terminal: Terminal) -> List[str]:
    """A line for each file that is not as expected."""
    there = [root / path for path in expected if (root / path).is_file()]
    progress = ByteProgress(terminal, "checking", sum(path.stat().st_size for path in there))
    bad: List[str] = []
    done = 0
    for name, one in expected.items():
        path = root / name
        try:
            size = path.stat().st_size
            if one.size is not None and size != one.size:
                bad.append(f"{name}: {size:,} bytes in place of {one.size:,}")
                continue
            found = digest(path, one.algorithm, progress, done)
            done += size
        except FileNotFoundError:
            bad.append(f"{name}: missing")
        except OSError as error:
            bad.append(f"{name}: can't be read ({error.strerror or error})")
        else:
            if found != one.value:
                told = f"{one.algorithm} is {found} in place of {one.value} ({one.source})"
                bad.append(f"{name}: {told}")
    progress.done()
    return bad


# --- the record ------------------------------------------------------------------------------


def read_recorded(state: Path) -> Sums:
    """What was recorded; empty where nothing was.

    Raises:
        ZooError: the record is damaged.
    """
    path = state / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Expected(str(entry["sha256"]), str(entry["source"]), int(entry["size"]))
            for name, entry in content["files"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZooError(
            f"{path} is damaged; move it away, and what is there is recorded anew"
        ) from error


def add_to_recorded(state: Path, sums: Mapping[str, Expected]) -> None:
    """Adds to the record; what it had of a path gives way."""
    _write_recorded(state, dict(read_recorded(state), **sums))


def _write_recorded(state: Path, sums: Mapping[str, Expected]) -> None:
    state.mkdir(parents=True, exist_ok=True)
    files = {
        name: {"size": one.size, "sha256": one.value, "source": one.source}
        for name, one in sorted(sums.items())
    }
    content = {"schema_version": SCHEMA_VERSION, "dataset": state.name, "files": files}
    write_atomically(state / FILE_NAME, json.dumps(content, indent=0) + "\n")


def unpacked_sums(facts: Mapping[str, FileFacts], archive: str, source: Optional[str]) -> Sums:
    """The sums of what an archive held; source is who publishes the archive's checksum."""
    checked = f"checked against {source}" if source else "which nobody publishes a checksum of"
    how = f"unpacked {utc_stamp()} from {archive}, {checked}"
    return {name: Expected(fact.sha256, how, fact.size) for name, fact in facts.items()}


def sums_of(root: Path, paths: Iterable[str], terminal: Terminal) -> Sums:
    """The sums of files that are there and that nothing is known of."""
    how = f"{AT_FIRST_USE} {utc_stamp()}"
    sizes = {path: (root / path).stat().st_size for path in paths}
    progress = ByteProgress(terminal, "recording checksums", sum(sizes.values()))
    found: Sums = {}
    done = 0
    for path, size in sizes.items():
        found[path] = Expected(digest(root / path, "sha256", progress, done), how, size)
        done += size
    progress.done()
    return found


# --- generated datasets ----------------------------------------------------------------------


def record_generated(dataset: Dataset, root: Path, terminal: Terminal) -> None:
    """Records a dataset that was just generated.

    One that is recorded already, by the same description, keeps its record.
    """
    description, state = f"{dataset.folder}/{DESCRIPTION}", state_folder(root, dataset)
    known = read_recorded(state).get(description)
    if known is None or known.value != sha256_of(root / description):
        _write_recorded(state, sums_of(root, _generated_files(dataset, root), terminal))


def _generated_files(dataset: Dataset, root: Path) -> List[str]:
    description = root / dataset.folder / DESCRIPTION
    if not description.is_file():
        raise ZooError(f"{description} is missing; zoo data prepare {dataset.name} makes it")
    return _files_below(root, dataset)
