"""Which object a ray meets first, and how much of a light reaches a point."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from slot_attention.synthetic.scene_layout import SceneObject
from slot_attention.synthetic.solids import dot, ray_interval, surface_normal

GROUND = 0
_FAR = np.float32(1e9)
_ENTRY_FROM = np.float32(1e-3)
_BOUNDING = {"sphere": 1.0, "cube": math.sqrt(3.0), "cylinder": math.sqrt(2.0)}


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
    rays = direction.shape[1]
    label, distance = np.zeros(rays, np.uint8), np.full(rays, _FAR)
    alone = np.zeros(len(objects), np.int64)
    for number, thing in enumerate(objects, start=1):
        near = _rays_near(thing, origin, direction)
        if leaving is not None:
            near = near[leaving[near] != number]
        entry, out = _interval(thing, _pick(origin, near), direction[:, near])
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
        local = surface_normal(thing.shape, _to_local(thing, point[:, here], moved=True))
        result[:, here] = _turn(thing, local, back=True)
    return result


def shadow(
    objects: Sequence[SceneObject],
    point: np.ndarray,
    label: np.ndarray,
    sources: List[Tuple[float, float, float]],
) -> np.ndarray:
    """The share (P) of a light's sources that points (3, P) of labelled surfaces see."""
    centre = [sum(source[axis] for source in sources) / len(sources) for axis in range(3)]
    spread = max(math.sqrt(sum((a - b) ** 2 for a, b in zip(source, centre))) for source in sources)
    goals = np.array(sources, np.float32).T
    toward = _constant(centre) - point
    hidden = np.zeros((len(sources), point.shape[1]), bool)
    for number, thing in enumerate(objects, start=1):
        near = _rays_near(thing, point, toward, wider=spread)
        near = near[label[near] != number]
        start = _to_local(thing, point[:, near], moved=True)[:, None]
        goal = _to_local(thing, goals, moved=True)[:, :, None]
        entry, out = ray_interval(thing.shape, start, goal - start)
        hidden[:, near] |= (entry < out) & (out > _ENTRY_FROM) & (entry < 1)
    return 1 - np.count_nonzero(hidden, axis=0).astype(np.float32) / np.float32(len(sources))


def openness(
    objects: Sequence[SceneObject], point: np.ndarray, normal: np.ndarray, label: np.ndarray
) -> np.ndarray:
    """The share (P) of the sky that points see, every object taken as a ball."""
    covered = np.zeros(point.shape[1], np.float32)
    for number, thing in enumerate(objects, start=1):
        toward = _constant((thing.x, thing.y, thing.z)) - point
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
    offset = _constant((thing.x, thing.y, thing.z)) - origin
    along = dot(offset, direction)
    passing = (dot(offset, offset) - radius * radius) * dot(direction, direction) <= along * along
    return np.nonzero(passing & (along > -radius))[0]


def _interval(
    thing: SceneObject, origin: np.ndarray, direction: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    return ray_interval(
        thing.shape, _to_local(thing, origin, moved=True), _to_local(thing, direction, moved=False)
    )


def _to_local(thing: SceneObject, vectors: np.ndarray, moved: bool) -> np.ndarray:
    """Points (moved) or directions in the object's frame, where its half size is 1."""
    if moved:
        vectors = vectors - _constant((thing.x, thing.y, thing.z))
    return _turn(thing, vectors, back=False) / np.float32(thing.radius)


def _turn(thing: SceneObject, vectors: np.ndarray, back: bool) -> np.ndarray:
    angle = math.radians(thing.rotation)
    cosine = np.float32(math.cos(angle))
    sine = np.float32(math.sin(angle) if back else -math.sin(angle))
    return np.stack(
        [
            vectors[0] * cosine - vectors[1] * sine,
            vectors[0] * sine + vectors[1] * cosine,
            vectors[2],
        ]
    )


def _pick(vectors: np.ndarray, which: np.ndarray) -> np.ndarray:
    return vectors if vectors.shape[1] == 1 else vectors[:, which]


def _constant(vector: Sequence[float]) -> np.ndarray:
    return np.array(vector, np.float32)[:, None]
