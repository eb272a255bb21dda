"""Rays against the three solids of CLEVR, each in its own frame where its half size is 1.

Vectors are float32 arrays (3, P): one row per component. Only sums, products, quotients and
square roots are taken, elementwise, so that every numpy gives the same bits.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np

Interval = Tuple[np.ndarray, np.ndarray]
_TINY = np.float32(1e-9)
_FAR = np.float32(1e9)
_BEVEL_FROM = np.float32(0.9)


def dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the products (P) of vectors (3, P)."""
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors (3, P) at length 1."""
    return vectors / np.sqrt(np.maximum(dot(vectors, vectors), _TINY))


def ray_interval(shape: str, origin: np.ndarray, direction: np.ndarray) -> Interval:
    """Where lines are inside a solid.

    Args:
        shape: "sphere", "cube" or "cylinder" (its axis is the third component).
        origin: (3, P) or (3, 1), outside the solid.
        direction: (3, P).

    Returns:
        Entry and exit (P) in multiples of direction; no hit where the entry is not the smaller.
    """
    return _INTERVALS[shape](origin, direction)


def surface_normal(shape: str, point: np.ndarray) -> np.ndarray:
    """The outward unit normals (3, P) at points of a solid's surface, bent over its edges."""
    if shape == "sphere":
        return unit(point)
    if shape == "cube":
        return unit(np.sign(point) * np.maximum(np.abs(point) - _BEVEL_FROM, 0))
    radius = np.sqrt(point[0] * point[0] + point[1] * point[1])
    outward = np.maximum(radius - _BEVEL_FROM, 0) / np.maximum(radius, _TINY)
    up = np.sign(point[2]) * np.maximum(np.abs(point[2]) - _BEVEL_FROM, 0)
    return unit(np.stack([point[0] * outward, point[1] * outward, up]))


def _round_interval(squared: np.ndarray, half_linear: np.ndarray, constant: np.ndarray) -> Interval:
    """Between the roots of squared t^2 + 2 half_linear t + constant."""
    squared = np.maximum(squared, _TINY)
    discriminant = half_linear * half_linear - squared * constant
    root = np.sqrt(np.maximum(discriminant, 0))
    missed = discriminant <= 0
    return (
        np.where(missed, _FAR, (-half_linear - root) / squared),
        np.where(missed, -_FAR, (-half_linear + root) / squared),
    )


def _slab_interval(origin: np.ndarray, direction: np.ndarray) -> Interval:
    """Between the planes at -1 and 1, of one component."""
    safe = np.where(np.abs(direction) < _TINY, _TINY, direction)
    one, other = (-1 - origin) / safe, (1 - origin) / safe
    return np.minimum(one, other), np.maximum(one, other)


def _common(first: Interval, second: Interval) -> Interval:
    return np.maximum(first[0], second[0]), np.minimum(first[1], second[1])


def _sphere(origin: np.ndarray, direction: np.ndarray) -> Interval:
    return _round_interval(
        dot(direction, direction), dot(origin, direction), dot(origin, origin) - 1
    )


def _cube(origin: np.ndarray, direction: np.ndarray) -> Interval:
    level = _common(
        _slab_interval(origin[0], direction[0]), _slab_interval(origin[1], direction[1])
    )
    return _common(level, _slab_interval(origin[2], direction[2]))


def _cylinder(origin: np.ndarray, direction: np.ndarray) -> Interval:
    tube = _round_interval(
        direction[0] * direction[0] + direction[1] * direction[1],
        origin[0] * direction[0] + origin[1] * direction[1],
        origin[0] * origin[0] + origin[1] * origin[1] - 1,
    )
    return _common(tube, _slab_interval(origin[2], direction[2]))


_INTERVALS: Dict[str, Callable[[np.ndarray, np.ndarray], Interval]] = {
    "sphere": _sphere,
    "cube": _cube,
    "cylinder": _cylinder,
}
