"""One stream of random numbers per scene, the same for every numpy and number of processes."""

from __future__ import annotations

import hashlib
from typing import Tuple

import numpy as np


def scene_stream(seed: int, *place: object) -> np.random.RandomState:
    """Returns the stream of the scene at this place: ("sprites", "train", 17) for example.

    RandomState's streams are frozen across numpy versions; Generator's are not.
    """
    text = "/".join(str(part) for part in (seed,) + place)
    words = np.frombuffer(hashlib.sha256(text.encode("utf-8")).digest(), dtype="<u4")
    return np.random.RandomState(words.astype(np.uint32))


def between(stream: np.random.RandomState, limits: Tuple[float, float]) -> float:
    """Draws a number uniformly from limits (low, high)."""
    return limits[0] + (limits[1] - limits[0]) * stream.random_sample()


def whole_between(stream: np.random.RandomState, limits: Tuple[int, int]) -> int:
    """Draws a whole number from limits (low, high), both included."""
    return limits[0] + int(stream.random_sample() * (limits[1] - limits[0] + 1))
