"""Files that survive: written whole or not at all, moved aside, locked while in use."""

from __future__ import annotations

import datetime
import errno
import fcntl
import hashlib
import itertools
import os
import tempfile
from pathlib import Path
from typing import IO, Callable, Optional, Union

from common.core.errors import ZooError

TEMPORARY_PREFIX = ".unfinished-"


def write_atomically(path: Path, content: Union[str, bytes]) -> None:
    """Writes content to path so that a reader sees the old file or the new one, never a part.

    What is no Unicode in a text, the bytes of a file's name perhaps, is written as JSON escapes it.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    save_atomically(path, lambda stream: stream.write(data))


def save_atomically(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """Calls save(stream) on a temporary file beside path, then renames it to path.

    The data reaches the disk before the rename, so that a crash leaves a whole file. A failed save
    leaves the old file and no temporary one.
    """
    path = Path(path)
    name, told = "", path.parent  # the temporary name would tell nobody anything
    try:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=str(path.parent))
        told = path
        with os.fdopen(handle, "wb") as stream:
            save(stream)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, str(path))
    except BaseException as error:
        if name:
            os.unlink(name)
        if isinstance(error, OSError) and (error.filename is None or not name):
            error.filename = str(told)
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Returns when a file's content is on the disk; OSError where the disk can't take it."""
    with open(str(path), "r+b") as stream:  # some network file systems sync what can be written
        try:
            os.fsync(stream.fileno())
        except OSError as error:
            error.filename = str(path)
            raise


def sync_folder(folder: Path) -> None:
    """Returns when a folder's names are on the disk, where its file system can say so."""
    handle = os.open(str(folder), os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse to sync a folder
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file's content in hexadecimal, read in blocks of 1 MiB."""
    return digest_of(path, "sha256")


def digest_of(path: Path, algorithm: str) -> str:
    """Returns a file's digest in hexadecimal; algorithm is a name that hashlib knows."""
    digest = hashlib.new(algorithm)
    with open(str(path), "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def utc_stamp() -> str:
    """Returns the time in UTC as 20260131T235959Z, fit for file names."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def move_aside(path: Path) -> Path:
    """Renames path to `<name>.<UTC time>` and returns the new path; deletes nothing.

    Raises:
        ZooError: the folder can't be renamed, a mount point for example.
    """
    path = Path(path)
    target = aside = path.with_name(f"{path.name}.{utc_stamp()}")
    numbers = itertools.count(2)
    while target.exists():
        target = aside.with_name(f"{aside.name}-{next(numbers)}")
    try:
        path.rename(target)
    except OSError as error:
        raise ZooError(
            f"{path} holds an earlier run and can't be moved aside ({error.strerror}); "
            "give another --output_path"
        ) from error
    return target


def make_folder(path: Path, purpose: str) -> Path:
    """Makes a folder with its parents and checks that files can be written there.

    Args:
        purpose: what the folder is for, in the words of the flag: "--output_path".
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=str(path)):
            pass
    except OSError as error:
        raise ZooError(
            f"{purpose} {path} can't be written: {error.strerror}; give another path"
        ) from error
    return path


class FolderLock:
    """Keeps a folder to one live process; the kernel lets go of it however the process ends."""

    NAME = ".lock"

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / self.NAME
        self._stream: Optional[IO[str]] = None

    def acquire(self) -> bool:
        """Takes the lock; returns False when another process holds it."""
        stream = open(str(self.path), "a+")  # noqa: SIM115 (held until release)
        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        self._stream = stream
        return True

    def holder(self) -> str:
        """Returns the process id that the lock's holder wrote, or "unknown"."""
        try:
            return self.path.read_text().strip() or "unknown"
        except OSError:
            return "unknown"

    def release(self) -> None:
        """Lets go of the lock; the empty lock file stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
