"""Brings a dataset to the data folder: download, check, unpack, or generate.

What is there already is neither fetched nor replaced.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

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
from common.data.download import Download, PartialFile, Wanted, difference
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
        paths = dict.fromkeys((f"{base}/{file.path}", f"{base}/{file.name}"))
        return tuple(paths)


def prepare(dataset: Dataset, data_path: Path, way: Way, terminal: Terminal) -> None:
    """Makes a downloaded dataset usable below the data folder, or says why it can't.

    Raises:
        ZooError: a file can't be had, is not the published one, or doesn't unpack.
        InfrastructureError: the disk is too small.
    """
    root = data_root(data_path, dataset)
    if _missing(dataset, root):
        make_folder(root, "--data_path")
        with _locked(state_folder(root, dataset)) as state, _full_disk_told(root):
            _bring_missing(dataset, root, state, way, terminal)
    else:  # nothing to write, so a folder that can only be read will do
        _check_there(dataset, root, list(dataset.files), terminal)
    terminal.say(f"{dataset.title} is ready in {root / dataset.folder}")


def _missing(dataset: Dataset, root: Path) -> List[DataFile]:
    return [file for file in dataset.files if not is_there(dataset, file, root)]


def _bring_missing(dataset: Dataset, root: Path, state: Path, way: Way, terminal: Terminal) -> None:
    missing = _missing(dataset, root)
    _check_there(dataset, root, [file for file in dataset.files if file not in missing], terminal)
    _check_places(root, dataset, missing)
    if way.offline:
        _check_files_to_use(root, missing)
    _check_disk(root, dataset, missing)
    for file in missing:
        _bring(dataset, file, root, state, way, terminal)


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[Path]:
    state.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(state)
    if not lock.acquire():
        raise ZooError(
            f"{state.name} is being prepared by process {lock.holder()}; wait for it, or give "
            "another --data_path"
        )
    try:
        yield state
    finally:
        lock.release()


@contextlib.contextmanager
def _full_disk_told(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InfrastructureError(
            f"no space left in {root}; free some and run this again, it goes "
            "on with what has come so far"
        ) from error


def _check_there(dataset: Dataset, root: Path, files: List[DataFile], terminal: Terminal) -> None:
    """What is there already has to be good; it is never replaced."""
    if not files:
        return
    verdict = verify(dataset, root, terminal, files)
    if not verdict.is_good:
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


def _check_places(root: Path, dataset: Dataset, files: List[DataFile]) -> None:
    """Where an archive's folder goes nothing may be: a part of it is not filled up."""
    folder = root / dataset.folder
    if any(file.unpack in (TAR, ZIP) for file in files) and folder.exists():
        raise ZooError(f"{folder} is there, but incomplete; move it away and run this again")


def _check_files_to_use(root: Path, files: List[DataFile]) -> None:
    lacking = [file for file in files if not (root / file.path).is_file()]
    if lacking:
        raise ZooError(
            "--offline, and not there: {}; put {} so and run this again".format(
                ", ".join(
                    f"{root / file.path} ({size_text(file)}, from {file.urls[0]})"
                    for file in lacking
                ),
                "it" if len(lacking) == 1 else "them",
            )
        )


def size_text(file: DataFile) -> str:
    """The size of a file, with "about" where none is published."""
    about = "" if file.size is not None else "about "
    return about + bytes_text(file.about_size)


def _check_disk(root: Path, dataset: Dataset, files: List[DataFile]) -> None:
    needed = sum(_bytes_needed(root, file) for file in files)
    free = shutil.disk_usage(str(root)).free
    if needed > free:
        raise InfrastructureError(
            f"{dataset.title} needs {bytes_text(needed)} more, and {root} has "
            f"{bytes_text(free)} free; free some, or give "
            "another --data_path"
        )


def _bytes_needed(root: Path, file: DataFile) -> int:
    """Bytes still to download, and those that unpacking may write."""
    if (root / file.path).is_file():
        return file.unpacked_at_most
    return max(0, file.about_size - PartialFile(root / file.path).size) + file.unpacked_at_most


def _bring(
    dataset: Dataset, file: DataFile, root: Path, state: Path, way: Way, terminal: Terminal
) -> None:
    packed = _obtain(file, root, way, terminal)
    if file.unpack == NOT_PACKED:
        if file.checksum is None:
            sums = sums_of(root, [file.path], terminal)
            add_to_recorded(state, sums)
            terminal.say(
                f"nobody publishes a checksum of {file.path}; {AT_FIRST_USE}: sha256 "
                f"{sums[file.path].value}"
            )
        return
    _unpack(dataset, file, packed, root, state, terminal)
    terminal.say(
        f"{packed} ({bytes_text(packed.stat().st_size)}) is not needed any more; it "
        "stays until you remove it"
    )


def _obtain(file: DataFile, root: Path, way: Way, terminal: Terminal) -> Path:
    """The file, checked: one that is there already, else downloaded."""
    wanted = Wanted(file.about_size, file.size, file.checksum)
    path = root / file.path
    if path.is_file():
        fault = difference(path, wanted, terminal)
        if fault:
            raise ZooError(f"{path} {fault}; move it away and fetch it again")
    else:
        terminal.say(f"fetching {file.name} ({size_text(file)})")
        Download(path, wanted, terminal).run(way.urls(file))
    if file.checksum:
        terminal.say(f"{file.name}: {file.checksum.algorithm} as in {file.checksum.source}")
    return path


def _unpack(
    dataset: Dataset, file: DataFile, packed: Path, root: Path, state: Path, terminal: Terminal
) -> None:
    """Unpacks beside, then gives the result its place in one step."""
    with _empty_folder(state / UNPACKING) as beside:
        progress = ByteProgress(terminal, f"unpacking {file.name}", packed.stat().st_size)
        # A tar or zip brings the dataset's folder, a gz file one that lies beside it.
        below = beside / file.path[: -len(file.name)] if file.unpack == GZIP else beside
        below.mkdir(parents=True, exist_ok=True)
        facts = unpack(packed, file.unpack, below, file.unpacked_at_most, progress)
        progress.done()
        lacking = [path for path in usable_paths(dataset, file) if not (beside / path).exists()]
        if lacking:
            raise ZooError(
                f"{packed} holds no {lacking[0]}; it is another archive: move it away and fetch it "
                "again"
            )
        whole = usable_paths(dataset, file)[0] if file.unpack == GZIP else dataset.folder
        mine = {str((below / name).relative_to(beside)): fact for name, fact in facts.items()}
        mine = {
            name: fact
            for name, fact in mine.items()
            if name == whole or name.startswith(whole + "/")
        }
        source = file.checksum.source if file.checksum else None
        add_to_recorded(state, unpacked_sums(mine, file.name, source))
        (root / whole).parent.mkdir(parents=True, exist_ok=True)
        os.rename(str(beside / whole), str(root / whole))
    terminal.say(
        f"unpacked {len(mine):,} files, {bytes_text(sum(fact.size for fact in mine.values()))}"
    )


@contextlib.contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """A folder of our own that is gone afterwards; a stopped run may have left one."""
    if path.exists():
        shutil.rmtree(str(path))
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(str(path), ignore_errors=True)


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
