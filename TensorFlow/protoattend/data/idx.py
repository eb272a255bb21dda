"""The idx format of MNIST (LeCun): a magic number, the sizes, then the values."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import IO

import numpy as np

from common.core.errors import ZooError

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTES = 0x08
_LARGEST = 1 << 32
_BLOCK = 1 << 20
_FAILURES = (OSError, EOFError, zlib.error)  # OSError: what gzip raises of a bad checksum


def parse_idx(content: bytes, source: str, dimensions: int) -> np.ndarray:
    """The values of an idx file, packed by gzip or not.

    Args:
        content: the whole file.
        source: its name for the error line.
        dimensions: 1 for labels, 3 for images.

    Returns:
        uint8, of the sizes that the file states; read-only.

    Raises:
        ZooError: truncated, damaged, not idx, of other values or another number of dimensions.
    """
    stream: IO[bytes] = io.BytesIO(content)
    if content[:2] == _GZIP_MAGIC:
        stream = gzip.GzipFile(fileobj=stream)
    try:
        return _parse(stream, source, dimensions)
    except _FAILURES as error:
        raise ZooError(
            "{}: truncated or damaged ({})".format(source, " ".join(str(error).split()))
        ) from None


def _parse(stream: IO[bytes], source: str, dimensions: int) -> np.ndarray:
    _check_magic(_read_at_most(stream, 4), source, dimensions)
    header = _read_at_most(stream, 4 * dimensions)
    if len(header) < 4 * dimensions:
        raise ZooError(f"{source}: truncated within its header")
    sizes = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    expected = 1
    for size in sizes:
        expected *= size
    stated = " x ".join(str(size) for size in sizes)
    if not 0 < expected <= _LARGEST:
        raise ZooError(
            f"{source}: its header states {stated} values: between 1 and {_LARGEST} are supported"
        )
    # One byte more, to notice what is too long; the end is where gzip checks its checksum.
    body = _read_at_most(stream, expected + 1)
    if len(body) != expected:
        raise ZooError(
            "{}: {}: its header states {} values, it has {}".format(
                source,
                "truncated" if len(body) < expected else "too long",
                stated,
                len(body) if len(body) < expected else "more",
            )
        )
    return np.frombuffer(body, np.uint8).reshape(sizes)


def _check_magic(magic: bytes, source: str, dimensions: int) -> None:
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ZooError(f"{source}: not an idx file (it begins with 0x{magic.hex()})")
    if magic[2] != _UNSIGNED_BYTES:
        raise ZooError(
            f"{source}: an idx file of values of type 0x{magic[2]:02x}: unsigned bytes "
            "(0x08) are "
            "needed"
        )
    if magic[3] != dimensions:
        raise ZooError(
            f"{source}: an idx file of {magic[3]} dimension(s) where {dimensions} belong(s): "
            "images and labels "
            "may be exchanged"
        )


def _read_at_most(stream: IO[bytes], count: int) -> bytes:
    """In blocks, so that a header that lies can't reserve memory for what isn't there."""
    blocks, left = [], count
    while left > 0:
        block = stream.read(min(left, _BLOCK))
        if not block:
            break
        blocks.append(block)
        left -= len(block)
    return b"".join(blocks)
