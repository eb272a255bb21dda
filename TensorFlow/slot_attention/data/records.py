"""TFRecord files read without TensorFlow: their records, and the features of tf.train.Example.

The multi_object_datasets files keep every pixel as a list element of its own, a string of one
byte: tag, length 1, value. Parsing a million of them takes a general parser tens of milliseconds;
as a strided view they are free. Sources: tensorflow/core/lib/io/record_writer.h,
tensorflow/core/example/{example,feature}.proto, the protocol buffers' wire format.
"""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from common.core.errors import ZooError
from common.core.varint import read_varint

_HEADER = struct.Struct("<QI")  # length of the data, its checksum
_FOOTER_SIZE = 4
_LARGEST_RECORD = 1 << 30
_BYTES, _FLOATS, _INTEGERS = 1, 2, 3  # numbers of the lists in a Feature


def read_records(path: Path, compressed: bool) -> Iterator[memoryview]:
    """Yields the records of a TFRecord file, GZIP compressed or plain, in order.

    Raises:
        ZooError: another kind of file, damaged or cut off; the record's number is named.
    """
    kind = "GZIP compressed TFRecord" if compressed else "plain TFRecord"
    wrong = f"{path} is no {kind} file ({{}}): check --data_path or download the file again"
    broken = f"{path}: record {{}} is damaged or cut off ({{}}); download the file again"
    opened: Any = gzip.open if compressed else open
    number = 0
    try:
        with opened(str(path), "rb") as stream:
            for number in itertools.count():
                header = stream.read(_HEADER.size)
                if not header:
                    break
                length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else -1
                if not 0 <= length < _LARGEST_RECORD:
                    raise EOFError("its length is unreadable")
                data = stream.read(length + _FOOTER_SIZE)
                if len(data) < length + _FOOTER_SIZE:
                    raise ZooError(broken.format(number, "the file ends early"))
                yield memoryview(data)[:length]
    except (EOFError, OSError, zlib.error) as error:
        raise ZooError(broken.format(number, error) if number else wrong.format(error)) from error
    if number == 0:
        raise ZooError(f"{path} holds no record; download it again")


def read_features(record: memoryview) -> Dict[str, Any]:
    """A serialized tf.train.Example's features by name.

    Returns:
        float32 (N,) and int64 (N,) arrays; of a list of one-byte strings their bytes, a uint8 view
        (N,) of stride 3; of other strings a list of memoryviews.

    Raises:
        ValueError: the bytes are something else.
    """
    found = {}
    try:
        for _, features in _fields(record):
            for _, entry in _fields(features):
                parts = dict(_fields(entry))
                values = list(_fields(parts.get(2, memoryview(b""))))
                kind, body = values[0] if values else (_BYTES, memoryview(b""))
                found[bytes(parts[1]).decode("utf-8")] = _READERS[kind](body)
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError("no tf.train.Example") from error
    return found


def _strings(body: memoryview) -> Any:
    triplets = np.frombuffer(body, np.uint8)
    if len(triplets) % 3 or (triplets[0::3] != 0x0A).any() or (triplets[1::3] != 1).any():
        return [value for _, value in _fields(body)]
    return triplets[2::3]


def _floats(body: memoryview) -> np.ndarray:
    parts = [np.frombuffer(value, "<f4") for _, value in _fields(body)]
    return np.concatenate([*parts, np.zeros(0, "<f4")]).astype(np.float32)


def _integers(body: memoryview) -> np.ndarray:
    values: List[int] = []
    for _, packed in _fields(body):
        place = 0
        while place < len(packed):
            value, place = read_varint(packed, place)
            values.append(value & 0xFFFFFFFFFFFFFFFF)
    return np.array(values, np.uint64).astype(np.int64)


_READERS = {_BYTES: _strings, _FLOATS: _floats, _INTEGERS: _integers}


def _fields(encoded: memoryview) -> Iterator[Tuple[int, memoryview]]:
    """Field numbers and contents of a message all of whose fields are length-delimited."""
    place, end = 0, len(encoded)
    while place < end:
        tag, place = read_varint(encoded, place)
        length, place = read_varint(encoded, place)
        if tag & 7 != 2 or place + length > end:
            raise ValueError("no tf.train.Example")
        yield tag >> 3, encoded[place : place + length]
        place += length
