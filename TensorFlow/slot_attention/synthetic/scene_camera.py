"""The camera of CLEVR: a 35 mm lens on a 32 mm sensor, above the ground, looking at the middle."""

from __future__ import annotations

import math
from typing import Dict, NamedTuple, Sequence, Tuple

import numpy as np

Vector = Tuple[float, float, float]
POSITION: Vector = (7.4811, -6.5076, 5.3437)
_LOOKS_AT: Vector = (0.0, 0.0, 0.0)
_FOCAL_SHARE = 35.0 / 32.0  # focal length in widths of the picture


class Camera(NamedTuple):
    """Where the camera is and how it is turned; right, up and forward are unit vectors.

    focal: the focal length in columns and in rows of the picture; image_size: height, width.
    """

    position: Vector
    right: Vector
    up: Vector
    forward: Vector
    focal: Tuple[float, float]
    image_size: Tuple[int, int]


def look_from(position: Vector, image_size: Tuple[int, int]) -> Camera:
    """Returns the camera at a position, its horizon level.

    A picture narrower than 4:3 shows what the one of 4:3 shows, squeezed, as set prediction
    squeezes CLEVR's pictures; wider ones have square pixels.
    """
    forward = _unit(tuple(goal - start for goal, start in zip(_LOOKS_AT, position)))
    right = _unit((forward[1], -forward[0], 0.0))
    up = (
        right[1] * forward[2],
        -right[0] * forward[2],
        right[0] * forward[1] - right[1] * forward[0],
    )
    height, width = image_size
    focal = (_FOCAL_SHARE * width, _FOCAL_SHARE * max(width, height * 4 / 3.0))
    return Camera(position, right, up, forward, focal, image_size)


def _unit(vector: Sequence[float]) -> Vector:
    length = math.sqrt(sum(part * part for part in vector))
    return (vector[0] / length, vector[1] / length, vector[2] / length)


def scene_directions() -> Dict[str, Vector]:
    """The directions of a scene's JSON: on the ground, of the camera before it is shifted."""
    camera = look_from(POSITION, (240, 320))
    right, behind = camera.right, _unit((camera.forward[0], camera.forward[1], 0.0))
    return {
        "right": right,
        "left": _opposite(right),
        "behind": behind,
        "front": _opposite(behind),
        "above": (0.0, 0.0, 1.0),
        "below": (0.0, 0.0, -1.0),
    }


def _opposite(vector: Vector) -> Vector:
    return (-vector[0], -vector[1], -vector[2])


def project(camera: Camera, point: Vector) -> Vector:
    """Returns column, row (in pixels from the top left corner) and depth of a point."""
    offset = tuple(goal - start for goal, start in zip(point, camera.position))
    depth = _product(offset, camera.forward)
    height, width = camera.image_size
    return (
        width / 2.0 + camera.focal[0] * _product(offset, camera.right) / depth,
        height / 2.0 - camera.focal[1] * _product(offset, camera.up) / depth,
        depth,
    )


def _product(left: Sequence[float], right: Sequence[float]) -> float:
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]


def ray_directions(camera: Camera, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rays (3, P) through points of the picture, of length 1 along the viewing direction.

    Args:
        columns: float (P), from the left edge in pixels.
        rows: float (P), from the upper edge in pixels.
    """
    height, width = camera.image_size
    across = ((columns - width / 2.0) / camera.focal[0]).astype(np.float32)
    above = ((height / 2.0 - rows) / camera.focal[1]).astype(np.float32)
    return np.stack(
        [
            np.float32(camera.forward[axis])
            + across * np.float32(camera.right[axis])
            + above * np.float32(camera.up[axis])
            for axis in range(3)
        ]
    )
