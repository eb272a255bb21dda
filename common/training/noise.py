"""What is drawn in a step, by seed, step and rank alone: TensorFlow's numbers, in numpy.

tf.random.stateless_normal is Philox 4x32-10 (Salmon et al., SC 2011) and Box and Muller's method.
"""

from __future__ import annotations

import hashlib
from typing import Sequence, Tuple

import numpy as np

_LARGEST = (1 << 31) - 1
_ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_MIXING_KEY = 0x3EC8F720, 0x02461E29  # with which TensorFlow scrambles a seed
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_SMALLEST = np.float32(1e-7)


def stream_number(seed: int, stream: str, rank: int = 0) -> int:
    """The first half of the seed of a draw in every step; the second half is the step.

    Args:
        stream: names the draw; two draws of a step need two names. rank: ranks draw differently.
    """
    text = f"{seed}/{rank}/{stream}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") & _LARGEST


def step_normal(
    shape: Sequence[int], seed: int, step: int, stream: str, rank: int = 0
) -> np.ndarray:
    """Standard normal numbers, float32, of one draw in one step; see stream_number."""
    return stateless_normal(shape, (stream_number(seed, stream, rank), step))


def stateless_normal(shape: Sequence[int], seed: Tuple[int, int]) -> np.ndarray:
    """What tf.random.stateless_normal(shape, seed) gives, float32."""
    count = int(np.prod(shape, dtype=np.int64))
    words = [word for half in seed for word in divmod(half, 1 << 32)[::-1]]
    mixed = _philox(np.array([words], np.uint64), _MIXING_KEY)[0]
    counters = np.zeros((-(-count // 4), 4), np.uint64)
    counters[:, 0] = np.arange(len(counters))
    counters[:, 2:] = mixed[2:]
    bits = _philox(counters, (int(mixed[0]), int(mixed[1]))).reshape(-1, 2).astype(np.uint32)
    # The low 23 bits as the fraction of a number in [1, 2).
    uniform = ((bits & np.uint32(0x7FFFFF)) | np.uint32(127 << 23)).view(np.float32) - np.float32(1)
    angle = np.float32(2 * np.pi * np.float64(uniform[:, 1])).astype(np.float64)
    # In float64 and rounded: numpy's functions in float32 differ by machine.
    logarithm = np.float32(np.log(np.maximum(uniform[:, 0], _SMALLEST).astype(np.float64)))
    radius = np.sqrt(np.float32(-2) * logarithm)
    normal = np.stack(
        [np.float32(part) * radius for part in (np.sin(angle), np.cos(angle))], axis=1
    )
    return normal.reshape(-1)[:count].reshape(shape)


def _philox(counters: np.ndarray, key: Tuple[int, int]) -> np.ndarray:
    """Four words, uint64 below 2**32, for each row of four words of a counter."""
    one, two, three, four = counters.T
    for number in range(_ROUNDS):
        keys = [np.uint64((part + number * step) & 0xFFFFFFFF) for part, step in zip(key, _WEYL)]
        left, right = one * _MULTIPLIERS[0], three * _MULTIPLIERS[1]
        one, two = (right >> _HALF) ^ two ^ keys[0], right & _LOW
        three, four = (left >> _HALF) ^ four ^ keys[1], left & _LOW
    return np.stack([one, two, three, four], axis=1)
