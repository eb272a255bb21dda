"""The light of a 3-D scene: three lamps with soft shadows, an even sky, rubber and metal."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from slot_attention.synthetic.scene_camera import Vector
from slot_attention.synthetic.scene_layout import COLORS, SceneObject
from slot_attention.synthetic.scene_tracing import (
    GROUND,
    normals,
    openness,
    shadow,
    trace,
)
from slot_attention.synthetic.solids import dot, unit


class Lamp(NamedTuple):
    """A round lamp that shines at the middle of the ground; power is what it gives at distance 1.

    points: over how many points of the lamp its shadows are averaged; radius: their distance.
    """

    position: Vector
    power: float
    radius: float
    points: int


LAMPS = (
    Lamp((6.45, -2.91, 4.26), 24.0, 0.6, 9),
    Lamp((-4.67, -4.01, 3.01), 5.0, 0.8, 7),
    Lamp((-1.17, 2.65, 5.82), 10.0, 0.8, 7),
)
_SKY = np.float32(0.18)
_GROUND_COLOR = np.float32(0.57)
_GLINT_POWERS = 6  # squarings: the exponent of a metal's glint is 2 to this
_LEVELS = 4096
_PIXEL_OF_LEVEL = np.array(
    [
        int(
            round(
                255.0
                * (
                    12.92 * level
                    if level <= 0.0031308
                    else 1.055 * math.pow(level, 1 / 2.4) - 0.055
                )
            )
        )
        for level in (number / (_LEVELS - 1.0) for number in range(_LEVELS))
    ],
    np.uint8,
)


def to_pixels(light: np.ndarray) -> np.ndarray:
    """Light (…) from 0 to 1 as uint8 in sRGB."""
    level = np.minimum(np.maximum(light, 0), 1) * np.float32(_LEVELS - 1) + np.float32(0.5)
    return _PIXEL_OF_LEVEL[level.astype(np.int32)]


class Surface(NamedTuple):
    """Points of surfaces: point and normal (3, P), label (P) as in Hits."""

    point: np.ndarray
    normal: np.ndarray
    label: np.ndarray


def shade(
    objects: Sequence[SceneObject],
    lamps: Sequence[Lamp],
    origin: np.ndarray,
    direction: np.ndarray,
    label: np.ndarray,
    distance: np.ndarray,
) -> np.ndarray:
    """The light (P, 3) that comes back along rays that met what trace says.

    Args:
        origin: (3, 1), the camera.
        direction: (3, P).
        label: (P), of Hits.
        distance: (P), of Hits.
    """
    surface = _surface(objects, origin, direction, label, distance)
    colors = _colors(objects)[label].T
    light = colors * _received(objects, lamps, surface, shadows=True)
    metal = np.nonzero(_is_metal(objects)[label])[0]
    if len(metal):
        here = Surface(*(part[..., metal] for part in surface))
        mirrored = _mirrored(objects, lamps, here, direction[:, metal])
        light[:, metal] = np.float32(0.2) * light[:, metal] + mirrored * _metal(colors[:, metal])
    return light.T


def _metal(color: np.ndarray) -> np.ndarray:
    """What a metal of this colour gives back of the light around it."""
    return np.float32(0.03) + np.float32(1.25) * color


def _surface(
    objects: Sequence[SceneObject],
    origin: np.ndarray,
    direction: np.ndarray,
    label: np.ndarray,
    distance: np.ndarray,
) -> Surface:
    falling = np.minimum(direction[2], np.float32(-1e-3))  # rays above the horizon end far away
    length = np.where(label == GROUND, -origin[2] / falling, distance)
    point = origin + direction * length
    return Surface(point, normals(objects, label, point), label)


def _colors(objects: Sequence[SceneObject]) -> np.ndarray:
    """The colours (1 + N, 3) of the ground and of the objects, as linear light."""
    rows = [(_GROUND_COLOR,) * 3]
    rows += [tuple(part / 255.0 for part in COLORS[thing.color]) for thing in objects]
    return np.array(rows, np.float32)


def _is_metal(objects: Sequence[SceneObject]) -> np.ndarray:
    return np.array([False] + [thing.material == "metal" for thing in objects])


def _received(
    objects: Sequence[SceneObject], lamps: Sequence[Lamp], surface: Surface, shadows: bool
) -> np.ndarray:
    """The light (P) that falls on surfaces."""
    sky = _SKY * (np.float32(0.75) + np.float32(0.25) * surface.normal[2])
    light = sky * openness(objects, surface.point, surface.normal, surface.label)
    for lamp in lamps:
        part = _from_lamp(lamp, surface)
        if shadows:
            bright = np.nonzero(part > np.float32(0.004))[0]
            part[bright] *= shadow(
                objects, surface.point[:, bright], surface.label[bright], _points_of(lamp)
            )
        light += part
    return light


def _from_lamp(lamp: Lamp, surface: Surface) -> np.ndarray:
    """Lambert's law at both ends, one over the square of the distance."""
    toward = np.array(lamp.position, np.float32)[:, None] - surface.point
    squared = dot(toward, toward)
    leaving = np.maximum(dot(toward, np.array(_axis(lamp), np.float32)[:, None]), 0)
    arriving = np.maximum(dot(toward, surface.normal), 0)
    return np.float32(lamp.power) * leaving * arriving / (squared * squared)


def _axis(lamp: Lamp) -> Vector:
    """The unit vector from the middle of the ground to the lamp."""
    length = math.sqrt(sum(part * part for part in lamp.position))
    return (lamp.position[0] / length, lamp.position[1] / length, lamp.position[2] / length)


def _points_of(lamp: Lamp) -> List[Tuple[float, float, float]]:
    """Points on the lamp's disc: its middle and a ring."""
    axis = _axis(lamp)
    level = math.sqrt(axis[0] ** 2 + axis[1] ** 2)
    side = (-axis[1] / level, axis[0] / level, 0.0)
    upward = (-axis[2] * side[1], axis[2] * side[0], axis[0] * side[1] - axis[1] * side[0])
    points = [lamp.position]
    for number in range(lamp.points - 1):
        angle = 2 * math.pi * number / (lamp.points - 1)
        share = lamp.radius * (1.0 if number % 2 else 0.55)
        points.append(
            tuple(
                lamp.position[part]
                + share * (math.cos(angle) * side[part] + math.sin(angle) * upward[part])
                for part in range(3)
            )
        )
    return points


def _mirrored(
    objects: Sequence[SceneObject], lamps: Sequence[Lamp], surface: Surface, direction: np.ndarray
) -> np.ndarray:
    """What a mirror shows (3, P): the objects around, the ground, the lamps and the sky."""
    incoming = unit(direction)
    outgoing = incoming - 2 * dot(incoming, surface.normal) * surface.normal
    hits = trace(objects, surface.point, outgoing, leaving=surface.label)
    seen = _surface(objects, surface.point, outgoing, hits.label, hits.distance)
    light = _colors(objects)[hits.label].T * _received(objects, lamps, seen, shadows=False)
    upward = np.nonzero((hits.label == GROUND) & (outgoing[2] > 0))[0]
    light[:, upward] = _sky_and_lamps(lamps, surface.point[:, upward], outgoing[:, upward])
    return light


def _sky_and_lamps(lamps: Sequence[Lamp], point: np.ndarray, direction: np.ndarray) -> np.ndarray:
    light = np.float32(0.1) + np.float32(0.35) * (1 - direction[2]) * (1 - direction[2])
    for lamp in lamps:
        toward = unit(np.array(lamp.position, np.float32)[:, None] - point)
        glint = np.maximum(dot(toward, direction), 0)
        for _ in range(_GLINT_POWERS):
            glint = glint * glint
        light = light + np.float32(lamp.power * 0.25) * glint
    return light
