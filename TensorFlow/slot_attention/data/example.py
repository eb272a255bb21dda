"""The features of a tf.train.Example, read from its bytes without TensorFlow.

The multi_object_datasets files keep every pixel as a list element of its own, a string of one
byte: tag, length 1, value. Parsing a million of them takes a general parser tens of milliseconds;
as a strided view they are free. Source: tensorflow/core/example/{example,feature}.proto and the
protocol buffers' wire format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Tuple

import numpy as np

_BYTES, _FLOATS, _INTS = 1, 2, 3
_LENGTH_DELIMITED = 2


class BrokenExampleError(ValueError):
    """Bytes that are no tf.train.Example, or a feature of another kind than asked for."""


@dataclass(frozen=True)
class Feature:
    """One feature's list as it lies in a record.

    Attributes:
        kind: "bytes", "float" or "int64".
        body: the encoded list.
    """

    kind: str
    body: memoryview

    def single_bytes(self) -> np.ndarray:
        """Returns a bytes list of one-byte strings as a uint8 view, (elements,), stride 3."""
        self._need("bytes")
        triplets = np.frombuffer(self.body, np.uint8)
        if len(triplets) % 3:
            raise BrokenExampleError("elements that are not one byte each")
        triplets = triplets.reshape(-1, 3)
        if len(triplets) and not ((triplets[:, 0] == 0x0A).all() and (triplets[:, 1] == 1).all()):
            raise BrokenExampleError("elements that are not one byte each")
        return triplets[:, 2]

    def strings(self) -> List[memoryview]:
        """Returns the elements of a bytes list."""
        self._need("bytes")
        return [value for _field, value in _fields(self.body)]

    def floats(self) -> np.ndarray:
        """Returns a float list, float32 (elements,)."""
        self._need("float")
        if len(self.body) and self.body[0] == 0x0D:
            unpacked = np.frombuffer(self.body, np.uint8).reshape(-1, 5)[:, 1:]
            return np.ascontiguousarray(unpacked).view("<f4").reshape(-1).astype(np.float32)
        parts = [np.frombuffer(value, "<f4") for _field, value in _fields(self.body)]
        return np.concatenate(parts + [np.zeros(0, "<f4")]).astype(np.float32)

    def integers(self) -> np.ndarray:
        """Returns an int64 list, (elements,)."""
        self._need("int64")
        if len(self.body) and self.body[0] == 0x08:
            pairs = _varints(self.body)
            return np.array(pairs[1::2], np.uint64).astype(np.int64)
        values: List[int] = []
        for _field, value in _fields(self.body):
            values.extend(_varints(value))
        return np.array(values, np.uint64).astype(np.int64)

    def _need(self, kind: str) -> None:
        if self.kind != kind:
            raise BrokenExampleError(f"a list of {self.kind} instead of {kind}")


_KINDS = {_BYTES: "bytes", _FLOATS: "float", _INTS: "int64"}


def read_features(record: bytes) -> Dict[str, Feature]:
    """Returns a serialized tf.train.Example's features by name; their values stay encoded.

    Raises:
        BrokenExampleError: the bytes are something else.
    """
    try:
        return dict(_entries(memoryview(record)))
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise BrokenExampleError("no tf.train.Example") from error


def _entries(record: memoryview) -> Iterator[Tuple[str, Feature]]:
    for _number, features in _fields(record):
        for _field, entry in _fields(features):
            parts = dict(_fields(entry))
            yield bytes(parts[1]).decode("utf-8"), _feature(parts.get(2, memoryview(b"")))


def _feature(encoded: memoryview) -> Feature:
    for kind, body in _fields(encoded):
        return Feature(_KINDS[kind], body)
    return Feature("bytes", memoryview(b""))


def _fields(encoded: memoryview) -> Iterator[Tuple[int, memoryview]]:
    """Field numbers and contents of a message all of whose fields are length-delimited."""
    place, end = 0, len(encoded)
    while place < end:
        tag, place = _varint(encoded, place)
        length, place = _varint(encoded, place)
        if tag & 7 != _LENGTH_DELIMITED or place + length > end:
            raise BrokenExampleError("no tf.train.Example")
        yield tag >> 3, encoded[place : place + length]
        place += length


def _varints(encoded: memoryview) -> List[int]:
    values, place = [], 0
    while place < len(encoded):
        value, place = _varint(encoded, place)
        values.append(value)
    return values


def _varint(encoded: memoryview, place: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = encoded[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
