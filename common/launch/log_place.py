"""Where rank 0's log lies: at the contract's path, linked from the run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import List, Optional, Tuple

from common.core.errors import ZooError
from common.core.files import FolderLock
from common.launch.run_folder import (
    Claim,
    claim_fresh,
    is_run,
    link,
    moved_path,
    read_marker,
    write_marker,
)

Moves = List[Tuple[Path, Path]]


@dataclasses.dataclass(frozen=True)
class LogPlace:
    """Rank 0's log.

    Attributes:
        log: the file itself.
        contract: the claim on the contract's folder, None where the run folder is the place.
        remark: why the log is not at the contract's path, "" where it is.
    """

    log: Path
    contract: Optional[Claim]
    remark: str


def place_log(run_folder: Path, contract_log: Path, resume: bool, moves: Moves) -> LogPlace:
    """Decides where rank 0's log goes, and links it from the run folder.

    Args:
        moves: folders renamed so far by this launch; one more is appended when an earlier log
            makes room.
    """
    own = run_folder / contract_log.name
    if contract_log.parent in [run_folder] + list(run_folder.parents):
        return LogPlace(own, None, "")  # the contract's folder can't make room: the run is in it
    if resume and own.is_file() and not own.is_symlink():
        return LogPlace(own, None, "")  # the log began in the run folder and stays whole there
    claim, remark = _claim_contract(run_folder, contract_log, resume, moves)
    if claim is None:
        return LogPlace(own, None, f"the log is {own}: {remark}")
    write_marker(claim.folder, {"log_of": str(run_folder)})
    link(contract_log, own)
    return LogPlace(contract_log, claim, "")


def follow_move(contract_folder: Path, old: Path, new: Path) -> None:
    """Lets the contract's folder know where the run whose log it holds is now.

    Args:
        old, new: a folder that was renamed; the run is in it, or it is the run.
    """
    run = read_marker(contract_folder).log_of
    if run and moved_path(run, [(old, new)]) != run:
        write_marker(contract_folder, {"log_of": moved_path(run, [(old, new)])})


def _claim_contract(
    run_folder: Path, contract_log: Path, resume: bool, moves: Moves
) -> Tuple[Optional[Claim], str]:
    folder = contract_log.parent
    before = read_marker(folder).log_of
    try:
        if resume and before == str(run_folder):
            return _claim_in_place(folder), ""
        claim = claim_fresh(folder, "the log folder")
    except ZooError as error:
        return None, str(error).split(";")[0]
    if claim.moved_to is not None:
        moves.append((folder, claim.moved_to))
        _relink(before, contract_log, claim.moved_to, moves)
    return claim, ""


def _claim_in_place(folder: Path) -> Claim:
    lock = FolderLock(folder)
    if not lock.acquire():
        raise ZooError(f"{folder} is in use by process {lock.holder()}")
    return Claim(folder, lock, None)


def _relink(before: str, contract_log: Path, moved_to: Path, moves: Moves) -> None:
    """Lets the run whose log was moved aside point to where it is now."""
    if not before:
        return
    run = Path(moved_path(before, moves))
    if is_run(run) and (run / contract_log.name).is_symlink():
        link(moved_to / contract_log.name, run / contract_log.name)
