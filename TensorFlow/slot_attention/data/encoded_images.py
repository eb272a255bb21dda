"""PNG images by number, wherever they lie: inside record files, or as files of their own."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.data.geometry import Size

_PNG_START = b"\x89PNG\r\n\x1a\n"
_SIZE_PLACE = slice(16, 24)


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Where N encoded images lie, and what is known of their objects.

    Attributes:
        paths: the files; few record files or one file per image.
        files: int64, (N,), which file an image lies in.
        offsets: int64, (N,), its place there.
        lengths: int64, (N,), its bytes; -1 for the whole file.
        object_counts: int64, (N,).
        targets: float32, (N, 10, 19).
    """

    paths: Sequence[Path]
    files: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    object_counts: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def select(self, indices: np.ndarray) -> EncodedImages:
        """Returns the images of these numbers, in this order."""
        return EncodedImages(
            self.paths,
            self.files[indices],
            self.offsets[indices],
            self.lengths[indices],
            self.object_counts[indices],
            self.targets[indices],
        )

    def read(self, indices: np.ndarray, size: Size) -> List[bytes]:
        """Returns the PNG files of these images.

        Raises:
            ZooError: unreadable, no PNG, or not of this (height, width).
        """
        return [self._read_one(int(index), size) for index in indices]

    def image_size(self, index: int) -> Size:
        """Returns an image's (height, width)."""
        return _png_size(self._bytes(index), self._name(index))

    def _read_one(self, index: int, size: Size) -> bytes:
        encoded = self._bytes(index)
        found = _png_size(encoded, self._name(index))
        if found != tuple(size):
            raise ZooError(
                "{} is {}x{}, the others are {}x{}: all images of a dataset have one size".format(
                    self._name(index), *(found + tuple(size))
                )
            )
        return encoded

    def _bytes(self, index: int) -> bytes:
        path, length = str(self.paths[self.files[index]]), int(self.lengths[index])
        try:
            with open(path, "rb", buffering=0) as stream:
                if length < 0:
                    return stream.read() or b""
                encoded = os.pread(stream.fileno(), length, int(self.offsets[index]))
        except OSError as error:
            raise ZooError(f"{path} can't be read: {error.strerror}") from error
        if len(encoded) < length:
            raise ZooError(
                f"{path} ends inside image {index}: it was changed or cut off; prepare it again"
            )
        return encoded

    def _name(self, index: int) -> str:
        path = self.paths[self.files[index]]
        return str(path) if self.lengths[index] < 0 else f"{path}: image {index}"


def _png_size(encoded: bytes, name: str) -> Tuple[int, int]:
    if encoded[:8] != _PNG_START or len(encoded) < _SIZE_PLACE.stop:
        raise ZooError(f"{name} is not a PNG image; download or prepare the dataset again")
    width, height = struct.unpack(">II", encoded[_SIZE_PLACE])
    return height, width
