"""Numbers as protocol buffers and LevelDB write them: 7 bits a byte, the lowest first."""

from __future__ import annotations

from typing import Tuple, Union


def read_varint(data: Union[bytes, memoryview], place: int) -> Tuple[int, int]:
    """A number, and the place after it; IndexError where the bytes end before it does."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
