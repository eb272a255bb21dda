"""Reads TensorFlow's checkpoints (TensorBundle: PREFIX.index, PREFIX.data-*) in numpy alone.

The index is a sorted table as LevelDB has it, of protocol buffers: a header at key "", then of
each tensor its type, its shape and where its bytes are.
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import numpy as np

from common.core.varint import read_varint

_MAGIC, _FOOTER_BYTES = 0xDB4775248B80FB57, 48
_TRAILER_BYTES = 5  # of a block: how it is compressed, and its checksum
_VARINT, _FIXED = 0, {1: 8, 5: 4}  # how a field is written; others tell their length
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 6: "|i1", 9: "<i8", 10: "|b1", 19: "<f2"}


class _Entry(NamedTuple):
    """Where a tensor's bytes are and what they sum up to; `type` is a number of TensorFlow's."""

    type: int
    shape: Tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


class TensorBundle:
    """The tensors of one checkpoint by key; texts and other types that are no numbers are left out.

    Raises:
        OSError, ValueError, IndexError: it is not there, or damaged.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = Path(prefix)
        index = Path(str(prefix) + ".index").read_bytes()
        if len(index) < _FOOTER_BYTES or struct.unpack("<Q", index[-8:])[0] != _MAGIC:
            raise ValueError(f"{prefix}.index is no index of tensors, or it is truncated")
        _, place = _handle(index[-_FOOTER_BYTES:], 0)  # of what else there is of the table
        entries: Dict[bytes, bytes] = {}
        for _, handle in _block(index, *_handle(index[-_FOOTER_BYTES:], place)[0]):
            entries.update(_block(index, *_handle(handle, 0)[0]))
        header = _fields(entries.pop(b""))
        self._shards = int(header.get(1, [1])[0])
        read = {key.decode("utf-8"): _entry(value) for key, value in entries.items()}
        self._entries = {key: entry for key, entry in read.items() if entry.type in _TYPES}
        self.shapes = {key: list(entry.shape) for key, entry in self._entries.items()}

    def get(self, key: str) -> np.ndarray:
        """The tensor at a key."""
        entry = self._entries[key]
        name = f"{self._prefix.name}.data-{entry.shard:05d}-of-{self._shards:05d}"
        with open(str(self._prefix.with_name(name)), "rb") as stream:
            stream.seek(entry.offset)
            content = stream.read(entry.size)
        count = int(np.prod(entry.shape, dtype=np.int64))
        dtype = np.dtype(_TYPES[entry.type])
        if len(content) != entry.size or entry.size != count * dtype.itemsize:
            raise ValueError(f"{name} ends before {key}")
        if _checksum(content) != entry.checksum:
            raise ValueError(f"{name} is damaged where {key} is")
        return np.frombuffer(content, dtype).reshape(entry.shape)


def _handle(data: bytes, place: int) -> Tuple[Tuple[int, int], int]:
    """Offset and size of a block, and the place after them."""
    offset, place = read_varint(data, place)
    size, place = read_varint(data, place)
    return (offset, size), place


def _block(table: bytes, offset: int, size: int) -> Iterator[Tuple[bytes, bytes]]:
    """Keys and values of a block; a key may begin as the one before it."""
    block = table[offset : offset + size]
    if len(table) < offset + size + _TRAILER_BYTES or table[offset + size] != 0:
        raise ValueError("a block of the index is truncated or compressed")
    end = len(block) - 4 * (struct.unpack("<I", block[-4:])[0] + 1)
    place, key = 0, b""
    while place < end:
        shared, place = read_varint(block, place)
        own, place = read_varint(block, place)
        length, place = read_varint(block, place)
        key = key[:shared] + block[place : place + own]
        yield key, block[place + own : place + own + length]
        place += own + length


def _fields(message: bytes) -> Dict[int, List[Any]]:
    """The fields of a protocol buffer by number: numbers, or bytes."""
    found: Dict[int, List[Any]] = {}
    place = 0
    while place < len(message):
        tag, place = read_varint(message, place)
        value: Any
        if tag & 7 == _VARINT:
            value, place = read_varint(message, place)
        else:
            size = _FIXED.get(tag & 7)
            if size is None:
                size, place = read_varint(message, place)
            value, place = message[place : place + size], place + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def _entry(message: bytes) -> _Entry:
    fields = _fields(message)

    def number(field: int) -> int:
        return int(fields.get(field, [0])[0])

    dimensions = _fields(fields.get(2, [b""])[0]).get(2, [])
    shape = tuple(int(_fields(one).get(1, [0])[0]) for one in dimensions)
    (checksum,) = struct.unpack("<I", fields[6][0])
    return _Entry(number(1), shape, number(3), number(4), number(5), checksum)


def _checksum(data: bytes) -> int:
    """CRC-32C of the bytes, masked as the format wants it (rotated, and a constant added)."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.lru_cache(maxsize=None)
def _crc_table() -> List[int]:
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table
