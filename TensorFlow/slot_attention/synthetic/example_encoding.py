"""Many tf.train.Example messages at once, byte by byte, and their TFRecord frames.

multi_object_datasets stores images and masks as a list of one-byte strings: three bytes of
message for each pixel value, far too many objects for protobuf's Python classes. Every record of
a file has the same fields of the same sizes, so that a chunk of records is a table of bytes.
"""

from __future__ import annotations

from typing import List, Mapping, Union

import numpy as np

from slot_attention.synthetic.checksums import crc32c_of_rows

_FIRST, _SECOND = b"\x0a", b"\x12"  # tags of fields 1 and 2 that are preceded by their length
_ONE_BYTE_STRING = np.frombuffer(_FIRST + b"\x01", np.uint8)
_MASK_DELTA = np.uint32(0xA282EAD8)

Piece = Union[bytes, np.ndarray]


def encode_examples(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns messages, uint8 (B, n), that tf.train.Example reads.

    Args:
        features: for each name an array (B, …): uint8 becomes a list of one-byte strings,
            float32 a list of floats.
    """
    entries: List[Piece] = []
    for name in sorted(features):
        entries += _field(
            _FIRST,
            _field(_FIRST, [name.encode("utf-8")]) + _field(_SECOND, _feature(features[name])),
        )
    return _table(_field(_FIRST, entries))


def frame_records(messages: np.ndarray) -> bytes:
    """Returns the TFRecord frames of messages, uint8 (B, n), one after the other."""
    count, length = messages.shape
    size = np.broadcast_to(np.frombuffer(np.array([length], "<u8").tobytes(), np.uint8), (count, 8))
    return _table([size, _masked_check(size), messages, _masked_check(messages)]).tobytes()


def _feature(values: np.ndarray) -> List[Piece]:
    """A Feature: its bytes_list (field 1) or float_list (field 2)."""
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    if flat.dtype == np.uint8:
        return _field(_FIRST, [_one_byte_strings(flat)])
    if flat.dtype == np.float32:
        return _field(_SECOND, _field(_FIRST, [flat.astype("<f4").view(np.uint8)]))
    raise TypeError(f"a feature is of uint8 or float32, not {flat.dtype}")


def _one_byte_strings(values: np.ndarray) -> np.ndarray:
    strings = np.empty(values.shape + (3,), np.uint8)
    strings[..., :2] = _ONE_BYTE_STRING
    strings[..., 2] = values
    return strings.reshape(len(values), -1)


def _field(tag: bytes, pieces: List[Piece]) -> List[Piece]:
    length = sum(_width(piece) for piece in pieces)
    return [tag + _varint(length)] + pieces


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _width(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.shape[1]


def _table(pieces: List[Piece]) -> np.ndarray:
    """Pieces side by side; those that are bytes are the same in every row."""
    rows = next(len(piece) for piece in pieces if not isinstance(piece, bytes))
    table = np.empty((rows, sum(_width(piece) for piece in pieces)), np.uint8)
    start = 0
    for piece in pieces:
        stop = start + _width(piece)
        table[:, start:stop] = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else piece
        start = stop
    return table


def _masked_check(rows: np.ndarray) -> np.ndarray:
    """TFRecord's rotated CRC-32C of each row, as bytes uint8 (B, 4)."""
    check = crc32c_of_rows(rows)
    turned = ((check >> np.uint32(15)) | (check << np.uint32(17))) + _MASK_DELTA
    return np.ascontiguousarray(turned.astype("<u4")).view(np.uint8).reshape(len(rows), 4)
