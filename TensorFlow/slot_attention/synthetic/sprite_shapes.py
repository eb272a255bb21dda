"""The outlines of the sprites, as tests on coordinates from -1 to 1."""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _square(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    return (np.abs(right) <= 0.8) & (np.abs(up) <= 0.8)


def _ellipse(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    return right * right + up * up * 2.8 <= 1.0


def _heart(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    across, above = right * 1.15, up * 1.15 + 0.1
    body = across * across + above * above - 1.0
    return body * body * body <= across * across * above * above * above


def _triangle(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    return (up >= -0.65) & (np.abs(right) <= (1.0 - up) * 0.57)


def _circle(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    return right * right + up * up <= 0.81


def _cross(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    across, along = np.abs(right), np.abs(up)
    return (np.maximum(across, along) <= 0.95) & (np.minimum(across, along) <= 0.32)


def _bar(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    return (np.abs(right) <= 0.95) & (np.abs(up) <= 0.4)


SHAPES: Dict[str, Inside] = {
    "square": _square,
    "ellipse": _ellipse,
    "heart": _heart,
    "triangle": _triangle,
    "circle": _circle,
    "cross": _cross,
    "bar": _bar,
}
SHAPE_CODES: Dict[str, int] = {name: code for code, name in enumerate(SHAPES, start=1)}
