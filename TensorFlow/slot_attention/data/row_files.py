"""Arrays on disk whose rows are read and written by number, each row whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Tuple

import numpy as np

from common.core.errors import ZooError


class RowFile:
    """A file of uint8 rows of one shape.

    Rows are read and written by position, not through a memory map: a file that is cut off then
    gives an error and not a crash, and other threads run meanwhile.

    Args:
        path: the file.
        row_shape: of one row.
        count: rows; the file is made this long (sparse) with writable=True.
        writable: make or extend the file.

    Raises:
        ZooError: the file is missing or has another size.
    """

    def __init__(
        self, path: Path, row_shape: Tuple[int, ...], count: int, writable: bool = False
    ) -> None:
        self.path = Path(path)
        self.row_shape = tuple(row_shape)
        self.count = count
        self._row_size = int(np.prod(row_shape, dtype=np.int64))
        # A stream and not a bare descriptor, so that it closes with the last user.
        self._stream = self._open(writable)
        self._descriptor = self._stream.fileno()

    def _open(self, writable: bool) -> IO[bytes]:
        wanted = self._row_size * self.count
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        try:
            descriptor = os.open(str(self.path), flags, 0o666)
            if writable:
                os.ftruncate(descriptor, wanted)
        except OSError as error:
            raise ZooError(
                f"cache file {self.path} can't be opened: {error.strerror}; give another cache_path"
            ) from error
        size = os.fstat(descriptor).st_size
        if size != wanted:
            os.close(descriptor)
            raise ZooError(
                f"cache file {self.path} has {size} bytes, {wanted} are expected; move its "
                "folder away and "
                "it is made again"
            )
        return os.fdopen(descriptor, "r+b" if writable else "rb", buffering=0)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns uint8 (len(indices), *row_shape)."""
        rows = np.empty((len(indices),) + self.row_shape, np.uint8)
        for row, index in zip(rows, indices.tolist()):
            self.read_into(index, row)
        return rows

    def read_into(self, index: int, row: np.ndarray) -> None:
        """Reads one row, uint8 row_shape, contiguous."""
        if os.preadv(self._descriptor, [row], index * self._row_size) != self._row_size:
            raise ZooError(
                f"cache file {self.path} was cut off while in use; move its folder away and "
                "it is made again"
            )

    def write(self, indices: np.ndarray, rows: np.ndarray) -> None:
        """Writes rows, uint8 (len(indices), *row_shape)."""
        flat = np.ascontiguousarray(rows, np.uint8).reshape(len(indices), -1)
        for row, index in zip(flat, indices.tolist()):
            self._write_row(index, row)

    def _write_row(self, index: int, row: np.ndarray) -> None:
        try:
            whole = os.pwrite(self._descriptor, row, index * self._row_size) == self._row_size
            reason = "the disk is full"
        except OSError as error:
            whole, reason = False, str(error.strerror)
        if not whole:
            raise ZooError(
                f"cache file {self.path} can't be written: {reason}; free some space, give "
                "another "
                "cache_path or train without a cache"
            )

    def sync(self) -> None:
        """Waits until what was written is on the disk."""
        os.fsync(self._descriptor)
