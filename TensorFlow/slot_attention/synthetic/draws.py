"""What the settings of synthetic scenes share: the reading of flags, checks, random numbers."""

from __future__ import annotations

import argparse
import hashlib
from typing import Any, Callable, Tuple

import numpy as np

from common.core.errors import UsageError


def pair(kind: Callable[[str], Any]) -> Callable[[str], Tuple[Any, ...]]:
    """The type of a flag "LOW,HIGH", or of one number that stands for both."""

    def parse(text: str) -> Tuple[Any, ...]:
        try:
            values = tuple(kind(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) not in (1, 2):
            raise argparse.ArgumentTypeError(
                f"expected two numbers with a comma between them, or one, not {text!r}"
            )
        return values * (3 - len(values))

    return parse


def require(fine: bool, settings: Any, name: str, expected: str) -> None:
    """Raises UsageError that names a setting, its value and what is expected, unless it is fine."""
    if not fine:
        raise UsageError(f"--{name} is {getattr(settings, name)}; expected {expected}")


def scene_stream(seed: int, *place: object) -> np.random.RandomState:
    """The random numbers of the scene at this place: ("sprites", "train", 17) for example.

    RandomState's streams are frozen across numpy versions; Generator's are not.
    """
    text = "/".join(str(part) for part in (seed, *place))
    words = np.frombuffer(hashlib.sha256(text.encode("utf-8")).digest(), dtype="<u4")
    return np.random.RandomState(words.astype(np.uint32))


def between(stream: np.random.RandomState, low: float, high: float) -> float:
    """Draws a number uniformly."""
    return low + (high - low) * stream.random_sample()


def whole_between(stream: np.random.RandomState, low: int, high: int) -> int:
    """Draws a whole number, both ends included."""
    return low + int(stream.random_sample() * (high - low + 1))
