"""Arrays of pixels: checksums, batches, other sizes of them, the same on every stack."""

from __future__ import annotations

import hashlib
from typing import Iterator, Mapping, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError

_CHUNK = 1024


def sha256_of_bytes(content: bytes) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_array(array: np.ndarray) -> str:
    """The sha256 of an array: its type, its shape, and its values in C order, little-endian."""
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little_endian.dtype.str}{array.shape}".encode())
    digest.update(little_endian.data)
    return digest.hexdigest()


def manifest_sha256(sha256_by_name: Mapping[str, str]) -> str:
    """One checksum for many: over the lines "sha256  name", sorted by name.

    A file's name that is no UTF-8 counts with its own bytes.
    """
    lines = "".join(f"{sha256_by_name[name]}  {name}\n" for name in sorted(sha256_by_name))
    return sha256_of_bytes(lines.encode("utf-8", "surrogateescape"))


def require_images(images: np.ndarray, shape: Sequence[int], what: str = "images") -> None:
    """Raises ZooError, which calls them `what`, unless they are uint8 (N, *shape), N at least 1."""
    if images.dtype != np.uint8 or images.shape[1:] != tuple(shape) or not len(images):
        raise ZooError(
            f"{what} are {images.dtype} of shape {images.shape}: uint8 of shape (N, "
            f"{', '.join(map(str, shape))}) is needed, N at least 1"
        )


def whole_batches(images: np.ndarray, size: int) -> Iterator[Tuple[np.ndarray, int]]:
    """Batches of `size` images, the last filled up with zeros; with how many of each are real."""
    for first in range(0, len(images), size):
        part = images[first : first + size]
        missing = size - len(part)
        if missing:
            part = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)])
        yield part, size - missing


def resize_bilinear(images: np.ndarray, height: int, width: int, maximum: int = 255) -> np.ndarray:
    """Bilinear interpolation between pixel centres in whole numbers; edges are repeated.

    Where an image shrinks, the filter widens with the scale, so that every pixel counts.

    Args:
        images: whole numbers from 0 to maximum, (N, H, W) or (N, H, W, C).
        height, width: wanted, at least 1.
        maximum: the value that becomes 255.

    Returns:
        uint8, (N, height, width) or (N, height, width, C), rounded to the nearest, halves up.
    """
    count, stored_height, stored_width = images.shape[:3]
    channels = int(np.prod(images.shape[3:], dtype=np.int64))
    rows = _weights(stored_height, height)
    columns = np.kron(_weights(stored_width, width), np.eye(channels, dtype=np.int64))
    total = np.outer(rows.sum(axis=1), columns.sum(axis=1)) * maximum
    flat = images.reshape(count, stored_height, stored_width * channels)
    resized = np.empty((count, height, width * channels), np.uint8)
    for first in range(0, count, _CHUNK):
        chunk = flat[first : first + _CHUNK].astype(np.float64)
        # float64 for its fast products: whole numbers far below 2**53 stay exact in any order.
        sums = (rows.astype(np.float64) @ chunk @ columns.T.astype(np.float64)).astype(np.int64)
        resized[first : first + _CHUNK] = (2 * 255 * sums + total) // (2 * total)
    return resized.reshape((count, height, width) + images.shape[3:])


def _weights(stored: int, wanted: int) -> np.ndarray:
    """int64 (wanted, stored): a triangle around each wanted pixel's centre, not normalised."""
    centres = (2 * np.arange(wanted, dtype=np.int64) + 1) * stored
    pixels = (2 * np.arange(stored, dtype=np.int64) + 1) * wanted
    weights: np.ndarray = np.maximum(
        2 * max(stored, wanted) - np.abs(centres[:, np.newaxis] - pixels), 0
    )
    return weights
