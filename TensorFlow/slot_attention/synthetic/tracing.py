"""Rays against the solids of CLEVR: what a camera sees, and how much of a light reaches a point.

Vectors are float32 arrays (3, P): one row per component. Only sums, products, quotients and
square roots are taken, elementwise, so that every numpy gives the same bits.
"""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

Vector = Tuple[float, float, float]
RADII = {"small": 0.35, "large": 0.7}
# CLEVR's camera: a 35 mm lens on a 32 mm sensor, above the ground, looking at the middle.
CAMERA_PLACE: Vector = (7.4811, -6.5076, 5.3437)
_FOCAL_SHARE = 35.0 / 32.0  # focal length in widths of the picture
GROUND = 0
_TINY, _FAR = np.float32(1e-9), np.float32(1e9)
_BEVEL_FROM = np.float32(0.9)
_ENTRY_FROM = np.float32(1e-3)
_BOUNDING = {"sphere": 1.0, "cube": math.sqrt(3.0), "cylinder": math.sqrt(2.0)}
Interval = Tuple[np.ndarray, np.ndarray]


class SceneObject(NamedTuple):
    """An object of CLEVR on the ground; x, y of its centre, rotation in degrees."""

    shape: str
    size: str
    material: str
    color: str
    rotation: float
    x: float
    y: float

    @property
    def radius(self) -> float:
        """Half the side of a cube, the radius of a sphere, radius and half height of a cylinder."""
        return RADII[self.size]

    @property
    def centre(self) -> Vector:
        """Where it is; objects stand on the ground."""
        return (self.x, self.y, self.radius)

    @property
    def reach(self) -> float:
        """The radius of the circle around the object on the ground."""
        return self.radius * (math.sqrt(2.0) if self.shape == "cube" else 1.0)


class Camera(NamedTuple):
    """Where the camera is, and unit vectors, float64 (3,), that say how it is turned.

    focal: the focal length in columns and in rows of the picture; image_size: height, width.
    """

    position: Vector
    right: np.ndarray
    up: np.ndarray
    forward: np.ndarray
    focal: Tuple[float, float]
    image_size: Tuple[int, int]


def look_from(position: Vector, image_size: Tuple[int, int]) -> Camera:
    """The camera at a position, its horizon level, looking at the middle of the ground.

    A picture narrower than 4:3 shows what the one of 4:3 shows, squeezed, as set prediction
    squeezes CLEVR's pictures; wider ones have square pixels.
    """
    forward = of_length_one(-np.array(position))
    right = of_length_one(np.array([forward[1], -forward[0], 0.0]))
    height, width = image_size
    focal = (_FOCAL_SHARE * width, _FOCAL_SHARE * max(width, height * 4 / 3.0))
    return Camera(position, right, np.cross(right, forward), forward, focal, image_size)


def ground_axes() -> Tuple[np.ndarray, np.ndarray]:
    """ "right" and "front" of the picture on the ground, of the camera before it is shifted."""
    camera = look_from(CAMERA_PLACE, (240, 320))
    return camera.right, of_length_one(camera.forward * (-1, -1, 0))


def of_length_one(vector: np.ndarray) -> np.ndarray:
    """A vector (3,) at length 1."""
    x, y, z = vector
    return vector / math.sqrt(x * x + y * y + z * z)


def rays(camera: Camera, pixels: np.ndarray, right: float = 0.5, down: float = 0.5) -> np.ndarray:
    """Rays (3, P) through a place within each of the pixels, which are numbered row by row.

    They are of length 1 along the viewing direction.
    """
    height, width = camera.image_size
    columns, rows = pixels % width + right, pixels // width + down
    across = ((columns - width / 2.0) / camera.focal[0]).astype(np.float32)
    above = ((height / 2.0 - rows) / camera.focal[1]).astype(np.float32)
    return column(camera.forward) + across * column(camera.right) + above * column(camera.up)


def dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The products (P) of vectors (3, P)."""
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (3, P) at length 1."""
    return vectors / np.sqrt(np.maximum(dot(vectors, vectors), _TINY))


def column(vector: Sequence[float]) -> np.ndarray:
    """One vector as float32 (3, 1)."""
    return np.array(vector, np.float32)[:, None]


class Hits(NamedTuple):
    """What P rays met among N objects.

    label (P): 0 for the ground or nothing, else the object's number from 1; distance (P): in
    multiples of the ray's direction, 1e9 where no object was met; alone (N): how many rays each
    object would meet without the others.
    """

    label: np.ndarray
    distance: np.ndarray
    alone: np.ndarray


def trace(
    objects: Sequence[SceneObject],
    origin: np.ndarray,
    direction: np.ndarray,
    leaving: Optional[np.ndarray] = None,
) -> Hits:
    """Follows rays to the nearest object.

    Args:
        origin: (3, P), or (3, 1) where all start at one point.
        direction: (3, P).
        leaving: labels (P) of the objects that the rays start from, which they can't meet again.
    """
    count = direction.shape[1]
    label, distance = np.zeros(count, np.uint8), np.full(count, _FAR)
    alone = np.zeros(len(objects), np.int64)
    for number, thing in enumerate(objects, start=1):
        near = _rays_near(thing, origin, direction)
        if leaving is not None:
            near = near[leaving[near] != number]
        start = origin if origin.shape[1] == 1 else origin[:, near]
        entry, out = _inside(
            thing.shape,
            _to_local(thing, start, moved=True),
            _to_local(thing, direction[:, near], moved=False),
        )
        met = (entry < out) & (entry > _ENTRY_FROM)
        alone[number - 1] = np.count_nonzero(met)
        first = met & (entry < distance[near])
        label[near[first]] = number
        distance[near[first]] = entry[first]
    return Hits(label, distance, alone)


def normals(objects: Sequence[SceneObject], label: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The unit normals (3, P) at points (3, P) of labelled surfaces; upward on the ground."""
    result = np.zeros_like(point)
    result[2] = 1
    for number, thing in enumerate(objects, start=1):
        here = np.nonzero(label == number)[0]
        local = _surface_normal(thing.shape, _to_local(thing, point[:, here], moved=True))
        result[:, here] = _turn(local, thing.rotation)
    return result


def shadow(
    objects: Sequence[SceneObject], point: np.ndarray, label: np.ndarray, sources: List[Vector]
) -> np.ndarray:
    """The share (P) of a light's sources that points (3, P) of labelled surfaces see."""
    centre = [sum(source[axis] for source in sources) / len(sources) for axis in range(3)]
    spread = max(math.sqrt(sum((a - b) ** 2 for a, b in zip(source, centre))) for source in sources)
    goals = np.array(sources, np.float32).T
    toward = column(centre) - point
    hidden = np.zeros((len(sources), point.shape[1]), bool)
    for number, thing in enumerate(objects, start=1):
        near = _rays_near(thing, point, toward, wider=spread)
        near = near[label[near] != number]
        start = _to_local(thing, point[:, near], moved=True)[:, None]
        goal = _to_local(thing, goals, moved=True)[:, :, None]
        entry, out = _inside(thing.shape, start, goal - start)
        hidden[:, near] |= (entry < out) & (out > _ENTRY_FROM) & (entry < 1)
    return 1 - np.count_nonzero(hidden, axis=0).astype(np.float32) / np.float32(len(sources))


def openness(
    objects: Sequence[SceneObject], point: np.ndarray, normal: np.ndarray, label: np.ndarray
) -> np.ndarray:
    """The share (P) of the sky that points see, every object taken as a ball."""
    covered = np.zeros(point.shape[1], np.float32)
    for number, thing in enumerate(objects, start=1):
        toward = column(thing.centre) - point
        squared = np.maximum(dot(toward, toward), np.float32(thing.radius**2))
        facing = np.maximum(dot(toward, normal) / np.sqrt(squared), 0)
        covered += np.where(
            label == number, np.float32(0), facing * np.float32(thing.radius**2) / squared
        )
    return np.maximum(1 - covered, np.float32(0.1))


def _rays_near(
    thing: SceneObject, origin: np.ndarray, direction: np.ndarray, wider: float = 0.0
) -> np.ndarray:
    """Indices of the rays that pass through the ball around an object."""
    radius = np.float32(thing.radius * _BOUNDING[thing.shape] + wider)
    offset = column(thing.centre) - origin
    along = dot(offset, direction)
    passing = (dot(offset, offset) - radius * radius) * dot(direction, direction) <= along * along
    return np.nonzero(passing & (along > -radius))[0]


def _to_local(thing: SceneObject, vectors: np.ndarray, moved: bool) -> np.ndarray:
    """Points (moved) or directions in the object's frame, where its half size is 1."""
    if moved:
        vectors = vectors - column(thing.centre)
    return _turn(vectors, -thing.rotation) / np.float32(thing.radius)


def _turn(vectors: np.ndarray, degrees: float) -> np.ndarray:
    """Vectors (3, P) turned around the vertical."""
    angle = math.radians(degrees)
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    x, y, z = vectors
    return np.stack([x * cosine - y * sine, x * sine + y * cosine, z])


def _inside(shape: str, origin: np.ndarray, direction: np.ndarray) -> Interval:
    """Where lines are inside a solid: entry and exit (P) in multiples of direction.

    There is no hit where the entry is not the smaller. A cylinder's axis is the third component.
    """
    if shape == "sphere":
        return _round(dot(direction, direction), dot(origin, direction), dot(origin, origin) - 1)
    if shape == "cube":
        level = _common(_slab(origin[0], direction[0]), _slab(origin[1], direction[1]))
        return _common(level, _slab(origin[2], direction[2]))
    tube = _round(
        direction[0] * direction[0] + direction[1] * direction[1],
        origin[0] * direction[0] + origin[1] * direction[1],
        origin[0] * origin[0] + origin[1] * origin[1] - 1,
    )
    return _common(tube, _slab(origin[2], direction[2]))


def _round(squared: np.ndarray, half_linear: np.ndarray, constant: np.ndarray) -> Interval:
    """Between the roots of squared t^2 + 2 half_linear t + constant."""
    squared = np.maximum(squared, _TINY)
    discriminant = half_linear * half_linear - squared * constant
    root = np.sqrt(np.maximum(discriminant, 0))
    missed = discriminant <= 0
    return (
        np.where(missed, _FAR, (-half_linear - root) / squared),
        np.where(missed, -_FAR, (-half_linear + root) / squared),
    )


def _slab(origin: np.ndarray, direction: np.ndarray) -> Interval:
    """Between the planes at -1 and 1, of one component."""
    safe = np.where(np.abs(direction) < _TINY, _TINY, direction)
    one, other = (-1 - origin) / safe, (1 - origin) / safe
    return np.minimum(one, other), np.maximum(one, other)


def _common(first: Interval, second: Interval) -> Interval:
    return np.maximum(first[0], second[0]), np.minimum(first[1], second[1])


def _surface_normal(shape: str, point: np.ndarray) -> np.ndarray:
    """The outward unit normals (3, P) at points of a solid's surface, bent over its edges."""
    if shape == "sphere":
        return unit(point)
    if shape == "cube":
        return unit(np.sign(point) * np.maximum(np.abs(point) - _BEVEL_FROM, 0))
    radius = np.sqrt(point[0] * point[0] + point[1] * point[1])
    outward = np.maximum(radius - _BEVEL_FROM, 0) / np.maximum(radius, _TINY)
    up = np.sign(point[2]) * np.maximum(np.abs(point[2]) - _BEVEL_FROM, 0)
    return unit(np.stack([point[0] * outward, point[1] * outward, up]))
