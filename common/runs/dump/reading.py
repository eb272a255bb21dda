"""Reads dumps back: finds one in a run folder, and checks every tensor by its checksum."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from common.core.codec import parse_json, structured
from common.core.errors import UsageError, ZooError, first_line
from common.core.text import quoted
from common.runs.dump.dump_format import (
    FOLDER,
    FORMAT,
    INDEX,
    INPUTS,
    SCHEMA_VERSION,
    TENSORS,
    Entry,
    Index,
    Subject,
    digest_of,
)

_STEP = re.compile(r"step_(\d+)$")


class Dump:
    """A dump on the disk: its index, and its tensors when they are asked for."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder, index

    @property
    def subject(self) -> Subject:
        """Whose step it is."""
        return self.index.subject

    def tensors(self, names: Sequence[Tuple[str, str]]) -> Iterator[np.ndarray]:
        """The tensors of some (kind, name), one after the other.

        Raises:
            UsageError: one is missing, damaged, or not the one that was written.
        """
        entries = {(entry.kind, entry.name): entry for entry in self.index.tensors}
        return self._read(TENSORS, [entries[name] for name in names])

    def inputs(self, kind: str) -> Dict[str, np.ndarray]:
        """The inputs of one kind by name; see tensors."""
        if not (self.folder / INPUTS).is_file() and self.subject.replayed_from:
            raise UsageError(
                f"{self.folder} holds no inputs: that run itself used those of "
                f"{self.subject.replayed_from}; give that one "
                "to --dump_from"
            )
        entries = [entry for entry in self.index.inputs if entry.kind == kind]
        return {entry.name: values for entry, values in zip(entries, self._read(INPUTS, entries))}

    def _read(self, name: str, entries: Sequence[Entry]) -> Iterator[np.ndarray]:
        path = self.folder / name
        if not zipfile.is_zipfile(str(path)):  # old numpy trips over such files
            raise _damaged(path, "it is missing or truncated")
        try:
            with zipfile.ZipFile(str(path)):  # numpy's own file is not closed well if this fails
                pass
            with np.load(str(path), allow_pickle=False) as archive:
                for entry in entries:
                    yield _checked(archive[entry.key], entry, path)
        except UsageError:
            raise
        except Exception as error:  # a flipped bit makes these libraries raise all kinds
            raise _damaged(path, f"it can't be read ({first_line(error)})") from error


def _checked(values: Any, entry: Entry, path: Path) -> np.ndarray:
    if not isinstance(values, np.ndarray) or digest_of(values) != entry.sha256:
        raise _damaged(path, f"{entry.kind} {entry.name} does not have its checksum")
    return values


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(
        "dump {} is damaged: {}; dump again with --dump_tensors".format(path, " ".join(why.split()))
    )


def find_dump(path: Path, step: Optional[int] = None) -> Dump:
    """The dump that a user's path means: a run folder, its tensors folder, or a step's folder.

    Args:
        step: which one where there are several; None for the only one.

    Raises:
        UsageError: there is none, several, or it is damaged. Never an error whose exit code could
            be taken for a verdict.
    """
    path = Path(path)
    if (path / INDEX).is_file():
        return read_dump(path)
    found = [*path.glob(f"{FOLDER}/step_*/{INDEX}"), *path.glob(f"step_*/{INDEX}")]
    steps = [(_STEP.search(index.parent.name), index.parent) for index in found]
    folders = {int(name.group(1)): folder for name, folder in steps if name}
    of_step = "" if step is None else f" of step {step}"
    if step is not None:
        folders = {number: folder for number, folder in folders.items() if number == step}
    if not folders:
        raise UsageError(
            f"{path} holds no dump{of_step}: run with --dump_tensors K, and give the run's folder"
        )
    if len(folders) > 1:
        raise UsageError(
            f"{path} holds dumps of steps {', '.join(map(str, sorted(folders)))}: give the folder "
            f"of one, such as {folders[min(folders)]}, or --step to zoo diverge"
        )
    return read_dump(next(iter(folders.values())))


def read_dump(folder: Path) -> Dump:
    """Reads the index of a dump.

    Raises:
        UsageError: damaged, of another program, or of a newer version.
    """
    path = Path(folder) / INDEX
    try:
        content = parse_json(path.read_bytes(), str(path))
    except (OSError, ZooError) as error:
        raise _damaged(path, f"it is no readable JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise UsageError(
            f"{path} is no index of a dump; give the folder of a run with --dump_tensors"
        )
    version = content.pop("schema_version", None)
    if type(version) is not int or version > SCHEMA_VERSION:
        raise UsageError(
            f"{path} was written by a newer version (format {quoted(version)}, known here: up to "
            f"{SCHEMA_VERSION}); update this checkout"
        )
    try:
        return Dump(Path(folder), structured(content, Index, INDEX))
    except ZooError as error:
        more = f", and {len(error.lines) - 1} more" if len(error.lines) > 1 else ""
        raise _damaged(path, f"a field is missing or wrong ({error.lines[0]}{more})") from error
