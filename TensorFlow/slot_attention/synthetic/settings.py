"""What the settings of synthetic scenes share: their flags, their checks, their random numbers."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from typing import Any, Callable, Tuple

import numpy as np

from common.core.errors import ZooError


def setting(default: Any, kind: Callable[[str], Any], explanation: str) -> Any:
    """A field that is a flag too: what reads its text, and what its help says."""
    return dataclasses.field(default=default, metadata={"kind": kind, "help": explanation})


def pair(kind: Callable[[str], Any], single: bool = False) -> Callable[[str], Tuple[Any, ...]]:
    """The type of a flag "LOW,HIGH"; with single also of one number that stands for both."""

    def parse(text: str) -> Tuple[Any, ...]:
        try:
            values = tuple(kind(part) for part in text.split(","))
        except ValueError:
            values = ()
        values *= 2 if single and len(values) == 1 else 1
        if len(values) != 2:
            raise argparse.ArgumentTypeError(
                "expected two numbers with a comma between them{}, not {!r}".format(
                    " or one" if single else "", text
                )
            )
        return values

    return parse


def require(fine: bool, settings: Any, name: str, expected: str) -> None:
    """Raises ZooError that names a setting, its value and what is expected, unless it is fine."""
    if not fine:
        raise ZooError(f"{name} is {getattr(settings, name)}; expected {expected}")


def scene_stream(seed: int, *place: object) -> np.random.RandomState:
    """The random numbers of the scene at this place: ("sprites", "train", 17) for example.

    RandomState's streams are frozen across numpy versions; Generator's are not.
    """
    text = "/".join(str(part) for part in (seed, *place))
    words = np.frombuffer(hashlib.sha256(text.encode("utf-8")).digest(), dtype="<u4")
    return np.random.RandomState(words.astype(np.uint32))


def between(stream: np.random.RandomState, limits: Tuple[float, float]) -> float:
    """Draws a number uniformly from limits (low, high)."""
    return limits[0] + (limits[1] - limits[0]) * stream.random_sample()


def whole_between(stream: np.random.RandomState, limits: Tuple[int, int]) -> int:
    """Draws a whole number from limits (low, high), both included."""
    return limits[0] + int(stream.random_sample() * (limits[1] - limits[0] + 1))
