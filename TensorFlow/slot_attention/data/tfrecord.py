"""TFRecord files read without TensorFlow: GZIP ones as a stream, plain ones by position.

A record is: its length (8 bytes, little-endian), the length's checksum (4), the data, the data's
checksum (4). The length's checksum is tested on every record; the data's is not (GZIP and PNG have
their own). Source: tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import gzip
import itertools
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Iterator, List, Optional, Tuple, cast

import numpy as np

from common.core.errors import ZooError

_HEADER = struct.Struct("<QI")
_FOOTER_SIZE = 4
_LARGEST_RECORD = 1 << 30
_GZIP_MAGIC = b"\x1f\x8b"


def _crc32c_table() -> List[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc32c_table()


def masked_crc32c(data: bytes) -> int:
    """Returns the masked CRC-32C that TFRecord files use; slow, for a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_gzip_records(path: Path) -> Iterator[bytes]:
    """Yields the records of a GZIP TFRecord file in order.

    Raises:
        ZooError: not GZIP, not a TFRecord, damaged or cut off; the record's number is named.
    """
    check_is_gzip(path)
    with gzip.open(str(path), "rb") as unzipped:
        stream = cast(BinaryIO, unzipped)
        for number in itertools.count():
            try:
                record = _next_record(stream, path, number)
            except (EOFError, OSError, zlib.error) as error:
                raise _cut_off(path, number, str(error)) from error
            if record is None:
                return
            yield record


def check_is_gzip(path: Path) -> None:
    """Raises ZooError unless path is a file that begins like GZIP."""
    first = _first_bytes(path, _HEADER.size)
    if first[:2] == _GZIP_MAGIC:
        return
    if len(first) == _HEADER.size and _length(first) is not None:
        raise ZooError(
            f"{path} is a TFRecord file that isn't GZIP compressed: these datasets are; "
            "download it again or gzip it"
        )
    raise ZooError(
        "{} is not a GZIP TFRecord file (it begins with {}): check data_path or "
        "download it again".format(path, first[:4].hex() or "nothing, it is empty")
    )


def index_records(path: Path) -> Tuple[np.ndarray, np.ndarray]:
    """Returns int64 offsets and lengths of the records' data in a plain TFRecord file.

    Only the headers are read.

    Raises:
        ZooError: not a plain TFRecord, or cut off.
    """
    offsets, lengths = [], []
    size = os.path.getsize(str(path))
    with open(str(path), "rb") as stream:
        descriptor, place = stream.fileno(), 0
        while place < size:
            header = os.pread(descriptor, _HEADER.size, place)
            length = _length(header) if len(header) == _HEADER.size else None
            if length is None and not offsets:
                raise _not_a_record_file(path, header)
            if length is None or place + _HEADER.size + length + _FOOTER_SIZE > size:
                raise _cut_off(path, len(offsets), "the file ends early")
            offsets.append(place + _HEADER.size)
            lengths.append(length)
            place += _HEADER.size + length + _FOOTER_SIZE
    return np.array(offsets, np.int64), np.array(lengths, np.int64)


def _next_record(stream: BinaryIO, path: Path, number: int) -> Optional[bytes]:
    header = stream.read(_HEADER.size)
    if not header:
        return None
    length = _length(header) if len(header) == _HEADER.size else None
    if length is None and number == 0:
        raise _not_a_record_file(path, header)
    if length is None:
        raise _cut_off(path, number, "its length is unreadable")
    data = stream.read(length)
    footer = stream.read(_FOOTER_SIZE)
    if len(data) < length or len(footer) < _FOOTER_SIZE:
        raise _cut_off(path, number, "the data ends early")
    return data


def _length(header: bytes) -> Optional[int]:
    """The length a header tells; None when its checksum says that it is none."""
    length, checksum = _HEADER.unpack(header)
    valid = length < _LARGEST_RECORD and masked_crc32c(header[:8]) == checksum
    return int(length) if valid else None


def _not_a_record_file(path: Path, header: bytes) -> ZooError:
    kind = "GZIP compressed" if header[:2] == _GZIP_MAGIC else "something else"
    return ZooError(
        f"{path} does not hold TFRecords ({kind} at its start): check data_path or download "
        "the file again"
    )


def _cut_off(path: Path, number: int, why: str) -> ZooError:
    return ZooError(
        f"{path}: record {number} is damaged or cut off ({why}); download the file again"
    )


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with open(str(path), "rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise ZooError(f"{path} can't be read: {error.strerror}; check data_path") from error
