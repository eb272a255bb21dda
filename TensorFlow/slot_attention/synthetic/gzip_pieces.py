"""One gzip stream made of pieces that were compressed apart, in any processes."""

from __future__ import annotations

import struct
import zlib
from typing import IO, NamedTuple

from slot_attention.synthetic.checksums import CRC32, join_checks

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time
_EMPTY_LAST_BLOCK = b"\x03\x00"
_LEVEL = 6


class Piece(NamedTuple):
    """Compressed data that ends on a byte, with the check and the length of what it holds."""

    compressed: bytes
    check: int
    length: int


def compress_piece(data: bytes) -> Piece:
    """Compresses data for any place within a stream."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    compressed = compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)
    return Piece(compressed, zlib.crc32(data) & 0xFFFFFFFF, len(data))


class GzipStream:
    """Writes one gzip member to a stream; finish() makes it whole."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._check, self._length = 0, 0
        stream.write(_HEADER)

    def add(self, piece: Piece) -> None:
        """Appends a piece."""
        self._stream.write(piece.compressed)
        self._check = join_checks(CRC32, self._check, piece.check, piece.length)
        self._length += piece.length

    def finish(self) -> None:
        """Writes the end of the stream, which stays open."""
        self._stream.write(_EMPTY_LAST_BLOCK)
        self._stream.write(struct.pack("<II", self._check, self._length & 0xFFFFFFFF))
