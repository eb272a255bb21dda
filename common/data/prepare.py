"""Brings a dataset to the data folder: download, check, unpack, or generate.

What is there already is neither fetched nor replaced.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from common.cards.model_folders import FRAMEWORK_FOLDERS
from common.core.errors import InfrastructureError, ZooError
from common.core.files import FolderLock, make_folder
from common.core.terminal import Terminal
from common.data.catalogue import (
    GZIP,
    NOT_PACKED,
    TAR,
    ZIP,
    DataFile,
    Dataset,
    data_root,
    is_there,
    state_folder,
    usable_paths,
)
from common.data.checksums import AT_FIRST_USE, add_to_recorded, sums_of, unpacked_sums, verify
from common.data.download import Download, PartialFile, difference
from common.data.progress import ByteProgress, bytes_text
from common.data.unpack import unpack

UNPACKING = "unpacking"


@dataclasses.dataclass(frozen=True)
class Way:
    """How to come by files: from another server, or not over the network at all."""

    mirror: Optional[str] = None
    offline: bool = False

    def urls(self, file: DataFile) -> Tuple[str, ...]:
        """Where to look for a file; a mirror has it under its path, or in one folder with all."""
        if self.mirror is None:
            return file.urls
        base = self.mirror.rstrip("/")
        return tuple(dict.fromkeys((f"{base}/{file.path}", f"{base}/{file.name}")))


def prepare(dataset: Dataset, data_path: Path, way: Way, terminal: Terminal) -> None:
    """Makes a downloaded dataset usable below the data folder, or says why it can't.

    Raises:
        ZooError: a file can't be had, is not the published one, or doesn't unpack.
        InfrastructureError: the disk is too small.
    """
    root = data_root(data_path, dataset)
    if _missing(dataset, root):
        make_folder(root, "--data_path")
        state = state_folder(root, dataset)
        state.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(state)
        if not lock.acquire():
            raise ZooError(
                f"{state.name} is being prepared by process {lock.holder()}; wait for it, or give "
                "another --data_path"
            )
        try:
            missing = _missing(dataset, root)
            _check_there(dataset, root, missing, terminal)
            _check_room(dataset, root, missing, way)
            for file in missing:
                _bring(dataset, file, root, way, terminal)
        finally:
            lock.release()
    else:  # nothing to write, so a folder that can only be read will do
        _check_there(dataset, root, [], terminal)
    terminal.say(f"{dataset.title} is ready in {root / dataset.folder}")


def _missing(dataset: Dataset, root: Path) -> List[DataFile]:
    return [file for file in dataset.files if not is_there(dataset, file, root)]


def _check_there(dataset: Dataset, root: Path, missing: List[DataFile], terminal: Terminal) -> None:
    """What is there already has to be good; it is never replaced."""
    files = [file for file in dataset.files if file not in missing]
    if not files:
        return
    verdict = verify(dataset, root, terminal, files)
    if verdict.bad:
        more = f"; and {len(verdict.bad) - 1} more" if len(verdict.bad) > 1 else ""
        raise ZooError(
            f"{dataset.title} in {root} is not as published or recorded ({verdict.bad[0]}{more}); "
            "move it away and run this again"
        )
    told = list(verdict.sources)
    if verdict.recorded:
        told.append(f"{verdict.recorded:,} checksums that nobody publishes recorded now")
    count = f"{len(files)} of {len(dataset.files)}"
    terminal.say(f"{count} already there and good ({'; '.join(told)})")


def _check_room(dataset: Dataset, root: Path, files: List[DataFile], way: Way) -> None:
    """What is missing can come: its place is free, the disk has room, offline it lies there."""
    folder = root / dataset.folder
    if any(file.unpack in (TAR, ZIP) for file in files) and folder.exists():
        raise ZooError(f"{folder} is there, but incomplete; move it away and run this again")
    lacking = [file for file in files if not (root / file.path).is_file()]
    if way.offline and lacking:
        told = (f"{root / one.path} ({size_text(one)}, from {one.urls[0]})" for one in lacking)
        raise ZooError(
            f"--offline, and not there: {', '.join(told)}; put each there and run this again"
        )
    needed = sum(file.unpacked_at_most for file in files)
    for file in lacking:
        needed += max(0, file.about_size - PartialFile(root / file.path).size)
    free = shutil.disk_usage(str(root)).free
    if needed > free:
        raise InfrastructureError(
            f"{dataset.title} needs {bytes_text(needed)} more, and {root} has "
            f"{bytes_text(free)} free; free some, or give another --data_path"
        )


def size_text(file: DataFile) -> str:
    """The size of a file, with "about" where none is published."""
    about = "" if file.size is not None else "about "
    return about + bytes_text(file.about_size)


def _bring(dataset: Dataset, file: DataFile, root: Path, way: Way, terminal: Terminal) -> None:
    """Makes a file usable: one that is there already, else downloaded; checked, then unpacked."""
    path, checksum = root / file.path, file.checksum
    if path.is_file():
        fault = difference(path, file, terminal)
        if fault:
            raise ZooError(f"{path} {fault}; move it away and fetch it again")
    else:
        terminal.say(f"fetching {file.name} ({size_text(file)})")
        Download(path, file, terminal).run(way.urls(file))
    if checksum:
        terminal.say(f"{file.name}: {checksum.algorithm} as in {checksum.source}")
    if file.unpack != NOT_PACKED:
        _unpack(dataset, file, path, root, terminal)
        terminal.say(
            f"{path} ({bytes_text(path.stat().st_size)}) is not needed any more; it "
            "stays until you remove it"
        )
    elif not checksum:
        sums = sums_of(root, [file.path], terminal)
        add_to_recorded(state_folder(root, dataset), sums)
        terminal.say(
            f"nobody publishes a checksum of {file.path}; {AT_FIRST_USE}: sha256 "
            f"{sums[file.path].value}"
        )


def _unpack(dataset: Dataset, file: DataFile, packed: Path, root: Path, terminal: Terminal) -> None:
    """Unpacks beside, then gives the result its place in one step."""
    state = state_folder(root, dataset)
    beside, usable = state / UNPACKING, usable_paths(dataset, file)
    if beside.exists():  # a stopped run may have left one
        shutil.rmtree(str(beside))
    # A tar or zip brings the dataset's folder, a gz file one that lies beside it.
    below = beside / file.path[: -len(file.name)] if file.unpack == GZIP else beside
    whole = usable[0] if file.unpack == GZIP else dataset.folder
    below.mkdir(parents=True)
    try:
        progress = ByteProgress(terminal, f"unpacking {file.name}", packed.stat().st_size)
        facts = unpack(packed, file.unpack, below, file.unpacked_at_most, progress)
        progress.done()
        lacking = [path for path in usable if not (beside / path).exists()]
        if lacking:
            raise ZooError(
                f"{packed} holds no {lacking[0]}; it is another archive: move it away and fetch it "
                "again"
            )
        found = {str((below / name).relative_to(beside)): fact for name, fact in facts.items()}
        mine = {name: fact for name, fact in found.items() if f"{name}/".startswith(f"{whole}/")}
        source = file.checksum.source if file.checksum else None
        add_to_recorded(state, unpacked_sums(mine, file.name, source))
        (root / whole).parent.mkdir(parents=True, exist_ok=True)
        os.rename(str(beside / whole), str(root / whole))
    finally:
        shutil.rmtree(str(beside), ignore_errors=True)
    size = sum(fact.size for fact in mine.values())
    terminal.say(f"unpacked {len(mine):,} files, {bytes_text(size)}")


# --- generated datasets ----------------------------------------------------------------------


def generate(dataset: Dataset, root: Path, data_path: Path, flags: Sequence[str]) -> int:
    """Runs `python -m MODULE NAME --data_path D flags`; returns its exit code.

    Args:
        root: the checkout that holds the module.
    """
    assert dataset.generated_by is not None
    words = [dataset.generated_by, dataset.name, "--data_path", str(data_path), *flags]
    folders = [str(root)] + [str(root / name) for name in FRAMEWORK_FOLDERS]
    path = os.pathsep.join(folders + list(filter(None, [os.environ.get("PYTHONPATH")])))
    sys.stdout.flush()
    process = subprocess.Popen(
        [sys.executable, "-m", *words], env=dict(os.environ, PYTHONPATH=path)
    )
    try:
        return process.wait()
    except KeyboardInterrupt:  # the terminal sends it to the generator too, which tidies up
        process.wait()
        raise
