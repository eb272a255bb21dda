"""The folder of a run that nothing launched: one run at a time, the earlier one moved aside.

Under `zoo launch` all of this is the launcher's, which holds the folder's lock.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from common.core.errors import ZooError
from common.core.files import FolderLock, make_folder, utc_stamp
from common.runs import record as run_record
from common.runs.marker import MARKER

LOG = "train_0.log"
# What a run leaves; other things in its folder, data that it made, stay where they are.
LEFT_BY_A_RUN = (
    "rank_*",
    "ckpt",
    "pictures",
    "tensorboard",
    "tensors",
    "profile",
    "train_*.log",
    "metrics.*",
    MARKER,
    run_record.FILE_NAME,
)


class Claim(NamedTuple):
    """A folder that belongs to this process; both None where a launcher has it."""

    folder: Path
    lock: Optional[FolderLock] = None
    log: Optional[Path] = None

    def release(self) -> None:
        """Writes the run's record, where its events make one, and gives the folder up."""
        if self.lock is None:
            return
        with contextlib.suppress(ZooError):
            run_record.write_record(run_record.from_run_folder(self.folder), self.folder)
        self.lock.release()


def claim(folder: Path, resume: bool, say: Callable[[str], None] = print) -> Claim:
    """Takes the folder of a run, on its first rank; call release at the end.

    Raises:
        ZooError: a live run has the folder.
    """
    folder = make_folder(folder, "--output_path")
    lock = FolderLock(folder)
    if not lock.acquire():
        if lock.holder() == str(os.getppid()):
            return Claim(folder)
        raise ZooError(
            f"{folder} belongs to a run that goes on (process {lock.holder()}): wait for its end, "
            "or give another --output_path"
        )
    if not resume:
        left = [path for pattern in LEFT_BY_A_RUN for path in folder.glob(pattern)]
        if left:
            aside = folder.with_name(f"{folder.name}.{utc_stamp()}")
            while aside.exists():
                aside = aside.with_name(aside.name + "-2")
            aside.mkdir()
            for path in left:
                os.rename(str(path), str(aside / path.name))
            say(f"an earlier run is now in {aside}")
    return Claim(folder, lock, folder / LOG)
