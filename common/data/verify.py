"""Compares the files of a dataset with the checksums that are published or were recorded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from common.core.errors import ZooError
from common.core.files import FolderLock, sha256_of
from common.core.terminal import Terminal
from common.data.catalogue import GZIP, NOT_PACKED, DataFile, Dataset
from common.data.hashing import digest
from common.data.place import DESCRIPTION, state_folder, usable_paths
from common.data.progress import ByteProgress
from common.data.recorded import (
    AT_FIRST_USE,
    Entry,
    add_to_recorded,
    entries_of,
    read_recorded,
    write_recorded,
)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a file has to be; a size of None is not known."""

    path: str
    size: Optional[int]
    algorithm: str
    value: str
    source: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome: files compared, a line for each bad one, files whose checksum is new."""

    compared: int
    bad: Tuple[str, ...]
    recorded: int
    sources: Tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether every file is as it has to be."""
        return not self.bad


def verify(
    dataset: Dataset, root: Path, terminal: Terminal, files: Optional[Sequence[DataFile]] = None
) -> Verdict:
    """Compares every file; what nothing is known of is recorded, where all of it is there.

    Args:
        files: those of the dataset's files to look at, by default all.
    """
    if dataset.generated_by:
        expected, unknown = _expected_and_unknown_of_generated(dataset, root)
    else:
        expected, unknown = _expected_and_unknown(
            dataset, root, dataset.files if files is None else files
        )
    bad = _faults(root, expected, terminal)
    bad += [f"{path}: missing" for path in unknown if not (root / path).is_file()]
    if unknown and not bad:
        add_to_recorded(state_folder(root, dataset), entries_of(root, unknown, terminal))
    sources = sorted({_kind(one.source) for one in expected})
    return Verdict(len(expected), tuple(bad), len(unknown) if not bad else 0, tuple(sources))


def _kind(source: str) -> str:
    """A source without the moment of recording, which differs from file to file."""
    return "what was " + AT_FIRST_USE if source.startswith(AT_FIRST_USE) else source


def record_generated(dataset: Dataset, root: Path, terminal: Terminal) -> None:
    """Records a dataset that was just generated, where its description has no checksums.

    One that is recorded already, by the same description, keeps its record.
    """
    description = f"{dataset.folder}/{DESCRIPTION}"
    state = state_folder(root, dataset)
    known = read_recorded(state).get(description)
    if _described(dataset, root) or (known and known.sha256 == sha256_of(root / description)):
        return
    write_recorded(state, entries_of(root, _files_below(root, dataset), terminal))


def _expected_and_unknown_of_generated(
    dataset: Dataset, root: Path
) -> Tuple[List[Expected], List[str]]:
    described = _described(dataset, root)
    if described:
        return described, []
    recorded = read_recorded(state_folder(root, dataset))
    expected = [_as_expected(path, entry) for path, entry in recorded.items()]
    return expected, [] if expected else _files_below(root, dataset)


def _expected_and_unknown(
    dataset: Dataset, root: Path, files: Sequence[DataFile]
) -> Tuple[List[Expected], List[str]]:
    recorded = read_recorded(state_folder(root, dataset))
    expected: List[Expected] = []
    unknown: List[str] = []
    for file in files:
        published = _published(file)
        known = {one.path for one in published}
        later = [
            _as_expected(path, entry)
            for path, entry in recorded.items()
            if path not in known and _belongs(path, dataset, file)
        ]
        expected += published + later
        if not published and not later:
            unknown += _files_to_record(root, dataset, file)
    return expected, unknown


def _published(file: DataFile) -> List[Expected]:
    """What the catalogue says of a file as it is used: itself, or an archive's contents."""
    if file.unpack == NOT_PACKED:
        checks = [(file.path, file.size, file.checksum)]
    else:
        checks = [(path, None, checksum) for path, checksum in file.contents.items()]
    return [
        Expected(path, size, checksum.algorithm, checksum.value, checksum.source)
        for path, size, checksum in checks
        if checksum is not None
    ]


def _as_expected(path: str, entry: Entry) -> Expected:
    return Expected(path, entry.size, "sha256", entry.sha256, entry.source)


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


def _faults(root: Path, expected: Sequence[Expected], terminal: Terminal) -> List[str]:
    """A line for each file that is not as expected."""
    sizes = [_size_on_disk(root / one.path) for one in expected]
    progress = ByteProgress(terminal, "checking", sum(sizes))
    bad: List[str] = []
    done = 0
    for one, size in zip(expected, sizes):
        fault = _fault(root, one, progress, done)
        bad += [fault] if fault else []
        done += size
    progress.done()
    return bad


def _size_on_disk(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _fault(root: Path, expected: Expected, progress: ByteProgress, done: int) -> Optional[str]:
    path = root / expected.path
    try:
        size = path.stat().st_size
        if expected.size is not None and size != expected.size:
            return f"{expected.path}: {size:,} bytes in place of {expected.size:,}"
        found = digest(path, expected.algorithm, progress, done)
    except FileNotFoundError:
        return f"{expected.path}: missing"
    except OSError as error:
        return f"{expected.path}: can't be read ({error.strerror or error})"
    if found == expected.value:
        return None
    return (
        f"{expected.path}: {expected.algorithm} is {found} in place of {expected.value} "
        f"({expected.source})"
    )


def _described(dataset: Dataset, root: Path) -> List[Expected]:
    """What the description beside a generated dataset says of its files; empty where nothing.

    Raises:
        ZooError: the description is missing or damaged.
    """
    path = root / dataset.folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ZooError(
            f"{path} is missing; zoo data prepare {dataset.name} makes the dataset"
        ) from None
    except ValueError as error:
        raise ZooError(f"{path} is damaged ({error}); generate the dataset again") from error
    return [
        Expected(
            "{}/{}".format(dataset.folder, entry["file"]),
            None,
            "sha256",
            str(entry["sha256"]),
            "what was recorded when it was generated",
        )
        for entry in _entries_with_sha256(content)
    ]


def _entries_with_sha256(content: Any) -> Iterator[Dict[str, Any]]:
    """Every mapping below a value that names a file below the folder and its sha256."""
    if isinstance(content, dict):
        name = content.get("file")
        if (
            isinstance(name, str)
            and "sha256" in content
            and ".." not in Path(name).parts
            and not Path(name).is_absolute()
        ):
            yield content
        for value in content.values():
            yield from _entries_with_sha256(value)
    elif isinstance(content, list):
        for value in content:
            yield from _entries_with_sha256(value)
