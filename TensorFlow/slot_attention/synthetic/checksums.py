"""Cyclic redundancy checks of many equally long records at once, and of joined pieces.

TFRecord frames carry CRC-32C (Castagnoli), gzip files CRC-32. A check is linear over GF(2), so
stretches of a record are taken side by side by numpy and then joined.
"""

from __future__ import annotations

import functools
from typing import Tuple

import numpy as np

CRC32 = 0xEDB88320
CRC32C = 0x82F63B78
_ONES = 0xFFFFFFFF
_LEAST_STRETCH = 128
_MOST_STRETCHES = 1024


def crc32c_of_rows(rows: np.ndarray) -> np.ndarray:
    """Returns the CRC-32C, uint32 (B), of each row of bytes: uint8 (B, n), n at least 1."""
    count, length = rows.shape
    stretches = _stretches(length)
    stretch = -(-length // (2 * stretches)) * 2
    padded = np.zeros((count, stretches * stretch), np.uint8)  # zeros in front change nothing
    padded[:, padded.shape[1] - length :] = rows
    words = padded.view("<u2").reshape(count * stretches, stretch // 2)
    remainders = _joined(_remainders(words).reshape(count, stretches), stretch)
    start = _shifted(CRC32C, np.full(1, _ONES, np.uint32), length)
    return remainders ^ start ^ np.uint32(_ONES)


def join_checks(polynomial: int, first: int, second: int, second_length: int) -> int:
    """Returns the check of two pieces joined, from the check of each and the second's length."""
    shifted = _shifted(polynomial, np.full(1, first, np.uint32), second_length)
    return int(shifted[0]) ^ second


def _stretches(length: int) -> int:
    stretches = 1
    while stretches < _MOST_STRETCHES and length >= 2 * stretches * _LEAST_STRETCH:
        stretches *= 2
    return stretches


@functools.lru_cache(maxsize=1)
def _word_table() -> np.ndarray:
    """The remainder of every two bytes, uint32 (65536)."""
    table = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        table = (table >> np.uint32(1)) ^ ((table & np.uint32(1)) * np.uint32(CRC32C))
    return table


def _remainders(words: np.ndarray) -> np.ndarray:
    """The remainders (R) of rows of two-byte words, uint16 (R, n)."""
    table, columns = _word_table(), np.ascontiguousarray(words.T)
    state = np.zeros(words.shape[0], np.uint32)
    for column in columns:
        state = table[(state & np.uint32(0xFFFF)) ^ column] ^ (state >> np.uint32(16))
    return state


def _joined(parts: np.ndarray, length: int) -> np.ndarray:
    """One remainder (B) of parts (B, a power of two), each of so many bytes."""
    while parts.shape[1] > 1:
        parts = _shifted(CRC32C, parts[:, 0::2], length) ^ parts[:, 1::2]
        length *= 2
    return parts[:, 0]


def _shifted(polynomial: int, states: np.ndarray, zero_bytes: int) -> np.ndarray:
    """The states after so many zero bytes."""
    for operator in _operators(polynomial, zero_bytes):
        states = _apply(operator, states)
    return states


@functools.lru_cache(maxsize=256)
def _operators(polynomial: int, zero_bytes: int) -> Tuple[np.ndarray, ...]:
    """Matrices over GF(2), uint32 (32) a column each, whose product is the shift."""
    operator, chosen = _one_zero_byte(polynomial), []
    while zero_bytes:
        if zero_bytes & 1:
            chosen.append(operator)
        operator = _apply(operator, operator)
        zero_bytes >>= 1
    product = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for factor in chosen:
        product = _apply(factor, product)
    return (product,)


def _one_zero_byte(polynomial: int) -> np.ndarray:
    state = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(8):
        state = (state >> np.uint32(1)) ^ ((state & np.uint32(1)) * np.uint32(polynomial))
    return state


def _apply(operator: np.ndarray, states: np.ndarray) -> np.ndarray:
    result = np.zeros(states.shape, np.uint32)
    for bit in range(32):
        result ^= ((states >> np.uint32(bit)) & np.uint32(1)) * operator[bit]
    return result
