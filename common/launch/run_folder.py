"""The folders of a run: claimed by one launch, moved aside for a fresh one, never deleted."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from common.core.errors import ZooError
from common.core.files import TEMPORARY_PREFIX, FolderLock, make_folder, move_aside, utc_stamp
from common.core.text import shortened
from common.runs.marker import MARKER, RUNNING, read_marker, write_marker

SEED_FOLDER = "seed_{}"  # in the run folder of a launch of several seeds
OUTPUT = "--output_path"
_STAMP = re.compile(r"\.\d{8}T\d{6}Z(-\d+)?$")
Moves = Sequence[Tuple[Path, Path]]  # folders that were renamed, from old to new


@dataclasses.dataclass(frozen=True)
class Claim:
    """A folder that belongs to this launch until release; moved_to is where an old run went."""

    folder: Path
    lock: FolderLock
    moved_to: Optional[Path] = None

    def release(self) -> None:
        """Gives the folder up; what is in it stays."""
        self.lock.release()

    @property
    def moves(self) -> List[Tuple[Path, Path]]:
        """What was renamed for it."""
        return [] if self.moved_to is None else [(self.folder, self.moved_to)]


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
    beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
    found = [
        path
        for path in beside
        if path.name.startswith(folder.name + ".")
        and _STAMP.match(path.name[len(folder.name) :])
        and is_run(path)
    ]
    return sorted(found, key=lambda path: path.name, reverse=True)


def find_weights(folder: Path, patterns: Sequence[str]) -> Optional[Path]:
    """The newest file of the first pattern that any matches, here or else in an earlier run.

    Beside each of these folders the runs of its seeds count, and the run whose log it holds.
    """
    for run in [folder, *earlier_runs(folder)]:
        marker = read_marker(run)
        others = [run / SEED_FOLDER.format(seed) for seed in reversed(marker.seeds)]
        others += [Path(marker.log_of)] if marker.log_of else []
        for place in [run, *others]:
            for pattern in patterns:
                files = [path for path in _found(place, pattern) if path.is_file()]
                if files:
                    return max(files, key=lambda path: (path.stat().st_mtime, path.name))
    return None


def _found(folder: Path, pattern: str) -> List[Path]:
    try:
        return list(folder.glob(pattern))
    except (OSError, ValueError):  # a folder that a damaged marker names
        return []


# --- claiming ---


def claim_fresh(folder: Path, purpose: str = OUTPUT) -> Claim:
    """Takes a folder for a new run; a run that is in it already is moved aside.

    Raises:
        ZooError: a live launch has the folder, it holds what is no run, it can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ZooError(f"{purpose} {folder} is a file, not a folder; give another path")
    make_folder(folder, purpose)
    if is_occupied(folder) and not is_run(folder):  # before anything is left there
        raise ZooError(
            f"{purpose} {folder} is not empty and holds no run (no {MARKER}); give "
            "another --output_path"
        )
    lock = _lock(folder)
    if not is_occupied(folder):
        return Claim(folder, lock)
    moved_to = move_aside(folder)  # the lock goes with it, so nobody else can move it too
    make_folder(folder, purpose)
    fresh = _lock(folder)
    lock.release()
    return Claim(folder, fresh, moved_to)


def claim_again(folder: Path, case: str, seeds: bool = False) -> Claim:
    """Takes the folder of a run, or of a launch of several seeds, that goes on.

    Raises:
        ZooError: there is nothing to resume, it is another case's run, or it is still live.
    """
    check_resumable(folder, case, seeds)
    make_folder(folder, OUTPUT)
    return Claim(folder, _lock(folder))


def check_resumable(folder: Path, case: str, seeds: bool = False) -> None:
    """Raises ZooError unless such a run of this case is in the folder; it names what could be."""
    if not is_run(folder):
        earlier = earlier_runs(folder)
        raise ZooError(
            f"nothing to resume in {folder}; "
            + (
                f"the newest earlier run is {earlier[0]}: give it as --output_path"
                if earlier
                else "leave --resume out to begin"
            )
        )
    marker = read_marker(folder)
    if marker.fault:
        raise ZooError(f"{marker.fault}; leave --resume out to begin anew")
    if marker.case not in (None, case):
        raise ZooError(
            f"the run in {folder} is of case {shortened(str(marker.case))}, not {case}; launch "
            "that case, or leave --resume out"
        )
    if marker.seeds and not seeds:
        raise ZooError(
            f"the run in {folder} is one of several seeds; give "
            f"--seeds={','.join(map(str, marker.seeds))} too, or a seed's own folder, "
            f"{folder / SEED_FOLDER.format(marker.seeds[0])}, as --output_path"
        )
    if seeds and not marker.seeds:
        raise ZooError(
            f"the run in {folder} is not one of several seeds; leave --seeds out, or --resume to "
            "begin"
        )


def _lock(folder: Path) -> FolderLock:
    lock = FolderLock(folder)
    if not lock.acquire():
        raise ZooError(
            f"{folder} is in use by process {lock.holder()}; wait for it, or give another "
            "--output_path or --device_id"
        )
    return lock


def moved_path(path: str, moves: Moves) -> str:
    """Where a path leads now that folders have been renamed."""
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


def begun(folder: Path, content: Mapping[str, Any]) -> Dict[str, Any]:
    """Marks a run that begins or goes on now; returns the marker's content."""
    marker = {
        "schema_version": 1,
        **content,
        "sessions": read_marker(folder).sessions + 1,
        "state": RUNNING,
        "started": utc_stamp(),
    }
    write_marker(folder, marker)
    return marker


# --- where rank 0's log lies: at the contract's path, linked from the run folder ---


@dataclasses.dataclass(frozen=True)
class LogPlace:
    """Rank 0's log.

    Attributes:
        log: the file itself.
        contract: the claim on the contract's folder, None where the run folder is the place.
        remark: why the log is not at the contract's path, "" where it is.
    """

    log: Path
    contract: Optional[Claim] = None
    remark: str = ""


def place_log(
    run_folder: Path, contract_log: Path, resume: bool, moves: List[Tuple[Path, Path]]
) -> LogPlace:
    """Decides where rank 0's log goes, and links it from the run folder.

    Args:
        moves: folders renamed so far by this launch; one more is appended when an earlier log
            makes room.
    """
    own, folder = run_folder / contract_log.name, contract_log.parent
    if folder in [run_folder, *run_folder.parents]:
        return LogPlace(own)  # the contract's folder can't make room: the run is in it
    if resume and own.is_file() and not own.is_symlink():
        return LogPlace(own)  # the log began in the run folder and stays whole there
    before = read_marker(folder).log_of
    try:
        if resume and before == str(run_folder):
            claim = Claim(folder, _lock(folder))
        else:
            claim = claim_fresh(folder, "the log folder")
    except ZooError as error:
        return LogPlace(own, None, f"the log is {own}: {str(error).split(';')[0]}")
    if claim.moved_to is not None:
        moves.append((folder, claim.moved_to))
        run = Path(moved_path(before, moves))  # the run whose log was moved aside
        if before and is_run(run) and (run / contract_log.name).is_symlink():
            link(claim.moved_to / contract_log.name, run / contract_log.name)
    write_marker(folder, {"log_of": str(run_folder)})
    link(contract_log, own)
    return LogPlace(contract_log, claim)


def follow_move(contract_folder: Path, moves: Moves) -> None:
    """Lets the contract's folder know where the run whose log it holds is now."""
    run = read_marker(contract_folder).log_of
    if run and moved_path(run, moves) != run:
        write_marker(contract_folder, {"log_of": moved_path(run, moves)})
