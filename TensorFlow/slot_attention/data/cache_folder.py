"""The folder of stores and counts that are kept between runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Iterator, Optional

from common.core.errors import ZooError
from common.core.files import FolderLock, make_folder

_FOLDER_NAME = ".slot_attention_cache"
_WAIT_SECONDS = 0.5


def choose_cache_path(data_folder: Path, wanted: Optional[str]) -> Path:
    """Returns the cache's folder, made if need be.

    It is the wanted one, else one beside the data, else (data that can't be written to) one in
    the user's cache folder.

    Raises:
        ZooError: the wanted folder can't be written to.
    """
    if wanted:
        return make_folder(Path(wanted), "cache_path")
    beside = Path(data_folder) / _FOLDER_NAME
    if _is_writable(beside if beside.is_dir() else Path(data_folder)):
        beside.mkdir(exist_ok=True)
        return beside
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return make_folder(Path(home) / "attention-modelzoo" / "slot_attention", "cache_path")


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=str(folder)):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a folder of the cache, made if need be, waiting while another process does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError(
            f"{folder} can't be made: {error.strerror}; give another cache_path"
        ) from error
    lock = FolderLock(folder)
    while not lock.acquire():
        time.sleep(_WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()
