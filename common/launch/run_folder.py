"""The folder of a run: claimed by one launch, moved aside for a fresh one, never deleted."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from common.core.errors import ZooError
from common.core.files import (
    TEMPORARY_PREFIX,
    FolderLock,
    make_folder,
    move_aside,
    utc_stamp,
)
from common.core.text import shortened
from common.runs.marker import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    MARKER,
    RUNNING,
    read_marker,
    write_marker,
)

__all__ = ["COMPLETE", "FAILED", "INTERRUPTED", "MARKER", "RUNNING", "read_marker", "write_marker"]
SEED_FOLDER = "seed_{}"  # in the run folder of a launch of several seeds
_STAMP = re.compile(r"\.\d{8}T\d{6}Z(-\d+)?$")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A folder that belongs to this launch until release; moved_to is where an old run went."""

    folder: Path
    lock: FolderLock
    moved_to: Optional[Path]

    def release(self) -> None:
        """Gives the folder up; what is in it stays."""
        self.lock.release()


def is_run(folder: Path) -> bool:
    """Whether a folder carries a run's marker."""
    return (Path(folder) / MARKER).is_file()


def is_occupied(folder: Path) -> bool:
    """Whether there is anything in a folder beside what a launch that never began leaves."""
    if not folder.is_dir():
        return folder.exists()
    return any(
        entry.name != FolderLock.NAME and not entry.name.startswith(TEMPORARY_PREFIX)
        for entry in folder.iterdir()
    )


def earlier_runs(folder: Path) -> List[Path]:
    """The runs that were moved aside from a folder, the newest first."""
    if not folder.parent.is_dir():
        return []
    found = [
        path
        for path in folder.parent.iterdir()
        if path.name.startswith(folder.name + ".")
        and is_run(path)
        and _STAMP.match(path.name[len(folder.name) :])
    ]
    return sorted(found, key=lambda path: path.name, reverse=True)


def find_weights(folder: Path, patterns: Sequence[str]) -> Optional[Path]:
    """The newest file of the first pattern that any matches, here or else in an earlier run."""
    for run in _with_linked([folder] + earlier_runs(folder)):
        for pattern in patterns:
            files = [path for path in _found(run, pattern) if path.is_file()]
            if files:
                return max(files, key=lambda path: (path.stat().st_mtime, path.name))
    return None


def _found(folder: Path, pattern: str) -> List[Path]:
    try:
        return list(folder.glob(pattern))
    except (OSError, ValueError):  # a folder that a damaged marker names
        return []


def _with_linked(folders: Sequence[Path]) -> List[Path]:
    """The folders, each followed by the runs of its seeds and the run whose log it holds."""
    found: List[Path] = []
    for folder in folders:
        marker = read_marker(folder)
        found.append(folder)
        found += [folder / SEED_FOLDER.format(seed) for seed in reversed(marker.seeds)]
        found += [Path(marker.log_of)] if marker.log_of else []
    return found


def claim_fresh(folder: Path, purpose: str) -> Claim:
    """Takes a folder for a new run; a run that is in it already is moved aside.

    Raises:
        ZooError: a live launch has the folder, it holds what is no run, it can't be written.
    """
    _check_is_folder(folder, purpose)
    make_folder(folder, purpose)
    if is_occupied(folder) and not is_run(folder):  # before anything is left there
        raise ZooError(
            f"{purpose} {folder} is not empty and holds no run (no {MARKER}); give "
            "another --output_path"
        )
    lock = _lock(folder)
    if not is_occupied(folder):
        return Claim(folder, lock, None)
    moved_to = move_aside(folder)  # the lock goes with it, so nobody else can move it too
    make_folder(folder, purpose)
    fresh = _lock(folder)
    lock.release()
    return Claim(folder, fresh, moved_to)


def claim_again(folder: Path, purpose: str, case: str) -> Claim:
    """Takes the folder of a run that goes on.

    Raises:
        ZooError: there is nothing to resume, it is another case's run, or it is still live.
    """
    check_resumable(folder, case)
    make_folder(folder, purpose)
    return Claim(folder, _lock(folder), None)


def claim_seeds_again(folder: Path, purpose: str, case: str) -> Claim:
    """Takes the folder of a launch of several seeds that goes on.

    Raises:
        ZooError: there is none of this case, or it is still live.
    """
    _check_case(folder, case)
    if not read_marker(folder).seeds:
        raise ZooError(
            f"the run in {folder} is not one of several seeds; leave --seeds out, or --resume to "
            "begin"
        )
    make_folder(folder, purpose)
    return Claim(folder, _lock(folder), None)


def check_resumable(folder: Path, case: str) -> None:
    """Raises ZooError unless a run of this case is in the folder; it names what could be."""
    _check_case(folder, case)
    seeds = read_marker(folder).seeds
    if seeds:
        raise ZooError(
            "the run in {0} is one of several seeds; give --seeds={1} too, or a seed's own folder, "
            "{0}/{2}, as --output_path".format(
                folder, ",".join(str(seed) for seed in seeds), SEED_FOLDER.format(seeds[0])
            )
        )


def _check_case(folder: Path, case: str) -> None:
    if not is_run(folder):
        earlier = earlier_runs(folder)
        hint = (
            f"; the newest earlier run is {earlier[0]}: give it as --output_path"
            if earlier
            else "; leave --resume out to begin"
        )
        raise ZooError(f"nothing to resume in {folder}{hint}")
    marker = read_marker(folder)
    if marker.fault:
        raise ZooError(f"{marker.fault}; leave --resume out to begin anew")
    found = case if marker.case is None else marker.case
    if found != case:
        raise ZooError(
            f"the run in {folder} is of case {shortened(found)}, not {case}; launch that case, or "
            "leave --resume out"
        )


def _check_is_folder(folder: Path, purpose: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise ZooError(f"{purpose} {folder} is a file, not a folder; give another path")


def _lock(folder: Path) -> FolderLock:
    lock = FolderLock(folder)
    if not lock.acquire():
        raise ZooError(
            f"{folder} is in use by process {lock.holder()}; wait for it, or give "
            "another --output_path or "
            "--device_id"
        )
    return lock


def moved_path(path: str, moves: Sequence[Tuple[Path, Path]]) -> str:
    """Where a path leads now that folders have been renamed from old to new."""
    for old, new in moves:
        if path == str(old) or path.startswith(str(old) + "/"):
            return str(new) + path[len(str(old)) :]
    return path


def link(target: Path, name: Path) -> None:
    """Makes `name` a symbolic link to target; an older link of that name is replaced."""
    if name.is_symlink():
        name.unlink()
    if not name.exists():
        name.symlink_to(target)


def new_session(content: Mapping[str, Any], now: Optional[str] = None) -> Dict[str, Any]:
    """A marker's content for a run that begins or goes on now."""
    return dict(content, state=RUNNING, started=now or utc_stamp())
