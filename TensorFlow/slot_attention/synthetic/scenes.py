"""3-D scenes in the manner of CLEVR, rendered by numpy: three lamps, a sky, rubber and metal.

Objects have CLEVR's sizes, colours and distances. Scene i of a split depends on nothing but the
seed, the split's name, i and the settings.
"""

from __future__ import annotations

import dataclasses
import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from common.core.flags import flag
from slot_attention.data.scenes import PROPERTIES, Scene, encode_targets
from slot_attention.synthetic.draws import between, pair, require, scene_stream, whole_between
from slot_attention.synthetic.tracing import (
    CAMERA_PLACE,
    GROUND,
    Camera,
    Hits,
    SceneObject,
    Vector,
    column,
    dot,
    ground_axes,
    look_from,
    normals,
    of_length_one,
    openness,
    rays,
    shadow,
    trace,
    unit,
)

_REACH = 3.0
_PLACES_PER_OBJECT = 50
_ARRANGEMENTS = 400
_SMALLEST_SIDE = 16
_MOST_OBJECTS = 10
_VIEWS = 100
_AXES = ground_axes()  # margin is measured there
_WITHIN_A_PIXEL = (0.25, 0.75)  # rows and columns of four places
_RGB = {
    "gray": (87, 87, 87),
    "blue": (42, 75, 215),
    "brown": (129, 74, 25),
    "yellow": (255, 238, 51),
    "red": (173, 35, 35),
    "green": (29, 105, 20),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
}


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


def _srgb(level: float) -> int:
    curve = 12.92 * level if level <= 0.0031308 else 1.055 * math.pow(level, 1 / 2.4) - 0.055
    return int(round(255.0 * curve))


_PIXEL_OF_LEVEL = np.array([_srgb(number / (_LEVELS - 1.0)) for number in range(_LEVELS)], np.uint8)


@dataclasses.dataclass(frozen=True)
class SceneSettings:
    """What 3-D scenes look like; UsageError where it can't be."""

    image_size: Tuple[int, int] = flag(
        "height,width in pixels, or one number for both", (240, 320), kind=pair(int)
    )
    objects: Tuple[int, int] = flag(
        "fewest,most objects of a scene (CLEVR: 3,10)", (3, 6), kind=pair(int)
    )
    gap: float = flag("least distance between two objects, in units of the scene", 0.1)
    margin: float = flag("least distance of two centres to the side and in depth", 0.2)
    visible: float = flag("least share of each object that is not hidden", 0.4)
    smallest: float = flag("least visible pixels of an object, at 240x320", 150.0)
    camera_jitter: float = flag("largest shift of the camera along each axis", 0.5)
    light_jitter: float = flag("largest shift of the lights along each axis", 1.0)
    antialias: bool = flag("smooth edges in the images; masks never are", True)

    def __post_init__(self) -> None:
        low, high = self.objects
        fine = min(self.image_size) >= _SMALLEST_SIDE
        require(fine, self, "image_size", f"{_SMALLEST_SIDE} or more")
        expected = f"LOW,HIGH with 1 <= LOW <= HIGH <= {_MOST_OBJECTS}"
        require(1 <= low <= high <= _MOST_OBJECTS, self, "objects", expected)
        require(0 <= self.visible <= 1, self, "visible", "a share from 0 to 1")
        for name in ("gap", "margin", "smallest", "camera_jitter", "light_jitter"):
            require(getattr(self, name) >= 0, self, name, "0 or more")

    @property
    def entities(self) -> int:
        """Number of masks of a scene: the background and the most objects."""
        return self.objects[1] + 1


def draw_scene(
    seed: int,
    split: str,
    index: int,
    settings: SceneSettings = SceneSettings(),  # noqa: B008
) -> Scene:
    """Draws scene number index of a split.

    Raises:
        ZooError: the objects don't fit, or always hide one another more than settings allow.
    """
    stream = scene_stream(seed, "scenes", split, index)
    lamps = [
        lamp._replace(position=_shifted(stream, lamp.position, settings.light_jitter))
        for lamp in LAMPS
    ]
    objects, camera, hits = _view(stream, settings)
    codes = {
        name: np.array([names.index(getattr(thing, name)) for thing in objects])
        for name, names in PROPERTIES.items()
    }
    target = encode_targets(np.array([thing.centre for thing in objects]), codes)
    image = _picture(_World(objects, lamps), camera, hits, settings.antialias)
    return Scene(image, hits.label.reshape(settings.image_size), target, len(objects))


def _shifted(stream: np.random.RandomState, position: Vector, most: float) -> Vector:
    x, y, z = (part + between(stream, -most, most) for part in position)
    return (x, y, z)


def _view(
    stream: np.random.RandomState, settings: SceneSettings
) -> Tuple[List[SceneObject], Camera, Hits]:
    """Objects and a camera that sees enough of each."""
    height, width = settings.image_size
    least = max(1.0, settings.smallest * height * width / (240.0 * 320.0))
    for _ in range(_VIEWS):
        objects = arrange(stream, settings)
        camera = look_from(
            _shifted(stream, CAMERA_PLACE, settings.camera_jitter), settings.image_size
        )
        hits = trace(objects, column(camera.position), rays(camera, np.arange(height * width)))
        shown = np.bincount(hits.label, minlength=len(objects) + 1)[1:]
        if (shown >= np.maximum(settings.visible * hits.alone, least)).all():
            return objects, camera, hits
    raise ZooError(
        f"{settings.objects[0]} to {settings.objects[1]} objects hide one another in every one of "
        f"{_VIEWS} views (visible={settings.visible} smallest={settings.smallest}); ask for fewer "
        "objects or less visibility"
    )


def arrange(stream: np.random.RandomState, settings: SceneSettings) -> List[SceneObject]:
    """Draws objects that keep their distance; ZooError where there is no room for so many."""
    count = whole_between(stream, *settings.objects)
    for _ in range(_ARRANGEMENTS):
        objects: List[SceneObject] = []
        while len(objects) < count:
            placed = _placed(stream, settings, objects)
            if placed is None:
                break
            objects.append(placed)
        if len(objects) == count:
            return objects
    raise ZooError(
        f"{count} objects don't fit with gap={settings.gap} and margin={settings.margin}; ask for "
        "fewer objects or smaller distances"
    )


def _placed(
    stream: np.random.RandomState, settings: SceneSettings, others: List[SceneObject]
) -> Optional[SceneObject]:
    shape, size, material, color = (
        PROPERTIES[name][whole_between(stream, 0, len(PROPERTIES[name]) - 1)]
        for name in ("shape", "size", "material", "color")
    )
    rotation = between(stream, 0.0, 360.0)
    for _ in range(_PLACES_PER_OBJECT):
        x, y = between(stream, -_REACH, _REACH), between(stream, -_REACH, _REACH)
        candidate = SceneObject(shape, size, material, color, rotation, x, y)
        if all(_apart(candidate, other, settings) for other in others):
            return candidate
    return None


def _apart(one: SceneObject, other: SceneObject, settings: SceneSettings) -> bool:
    right, down = one.x - other.x, one.y - other.y
    if math.sqrt(right * right + down * down) < one.reach + other.reach + settings.gap:
        return False
    return all(abs(right * axis[0] + down * axis[1]) > settings.margin for axis in _AXES)


class _World(NamedTuple):
    """What there is to see, and what it is seen by."""

    objects: Sequence[SceneObject]
    lamps: Sequence[Lamp]

    @property
    def palette(self) -> np.ndarray:
        """The colours of the ground and of the objects as linear light, float32 (N + 1, 3)."""
        rows = [tuple(part / 255.0 for part in _RGB[one.color]) for one in self.objects]
        return np.array([(_GROUND_COLOR,) * 3, *rows], np.float32)


def _picture(world: _World, camera: Camera, hits: Hits, antialias: bool) -> np.ndarray:
    """uint8 (height, width, 3), in sRGB."""
    height, width = camera.image_size
    origin = column(camera.position)
    light = _shaded(world, origin, rays(camera, np.arange(height * width)), hits)
    if antialias:  # pixels at an edge: the mean of four places within each
        pixels = _edge_pixels(hits.label.reshape(height, width))
        places = [(right, down) for down in _WITHIN_A_PIXEL for right in _WITHIN_A_PIXEL]
        through = np.concatenate([rays(camera, pixels, *place) for place in places], axis=1)
        finer = _shaded(world, origin, through, trace(world.objects, origin, through))
        first, second, third, fourth = np.minimum(finer, 1).reshape(4, len(pixels), 3)
        light[pixels] = (first + second + third + fourth) / np.float32(4)
    level = np.minimum(np.maximum(light, 0), 1) * np.float32(_LEVELS - 1) + np.float32(0.5)
    return _PIXEL_OF_LEVEL[level.astype(np.int32)].reshape(height, width, 3)


def _edge_pixels(label: np.ndarray) -> np.ndarray:
    """Numbers of the pixels beside a pixel of another label."""
    edge = np.zeros(label.shape, bool)
    level, upright = label[:, 1:] != label[:, :-1], label[1:] != label[:-1]
    edge[:, 1:] |= level
    edge[:, :-1] |= level
    edge[1:] |= upright
    edge[:-1] |= upright
    return np.nonzero(edge.ravel())[0]


class _Surface(NamedTuple):
    """Points of surfaces: point and normal (3, P), label (P) as in Hits."""

    point: np.ndarray
    normal: np.ndarray
    label: np.ndarray


def _shaded(world: _World, origin: np.ndarray, direction: np.ndarray, hits: Hits) -> np.ndarray:
    """The light (P, 3) that comes back along rays (3, P) from (3, 1) that met what trace says."""
    surface = _surface(world, origin, direction, hits)
    colors = world.palette[hits.label].T
    light = colors * _received(world, surface, shadows=True)
    is_metal = np.array([False] + [thing.material == "metal" for thing in world.objects])
    metal = np.nonzero(is_metal[hits.label])[0]
    if len(metal):
        here = _Surface(*(part[..., metal] for part in surface))
        mirrored = _mirrored(world, here, direction[:, metal])
        given_back = np.float32(0.03) + np.float32(1.25) * colors[:, metal]
        light[:, metal] = np.float32(0.2) * light[:, metal] + mirrored * given_back
    return light.T


def _surface(world: _World, origin: np.ndarray, direction: np.ndarray, hits: Hits) -> _Surface:
    falling = np.minimum(direction[2], np.float32(-1e-3))  # rays above the horizon end far away
    length = np.where(hits.label == GROUND, -origin[2] / falling, hits.distance)
    point = origin + direction * length
    return _Surface(point, normals(world.objects, hits.label, point), hits.label)


def _received(world: _World, surface: _Surface, shadows: bool) -> np.ndarray:
    """The light (P) that falls on surfaces."""
    sky = _SKY * (np.float32(0.75) + np.float32(0.25) * surface.normal[2])
    light = sky * openness(world.objects, surface.point, surface.normal, surface.label)
    for lamp in world.lamps:
        part = _from_lamp(lamp, surface)
        if shadows:
            bright = np.nonzero(part > np.float32(0.004))[0]
            part[bright] *= shadow(
                world.objects, surface.point[:, bright], surface.label[bright], _points_of(lamp)
            )
        light += part
    return light


def _from_lamp(lamp: Lamp, surface: _Surface) -> np.ndarray:
    """Lambert's law at both ends, one over the square of the distance."""
    toward = column(lamp.position) - surface.point
    squared = dot(toward, toward)
    leaving = np.maximum(dot(toward, column(of_length_one(np.array(lamp.position)))), 0)
    arriving = np.maximum(dot(toward, surface.normal), 0)
    return np.float32(lamp.power) * leaving * arriving / (squared * squared)


def _points_of(lamp: Lamp) -> List[Vector]:
    """Points on the lamp's disc: its middle and a ring."""
    axis = of_length_one(np.array(lamp.position)).tolist()
    level = math.sqrt(axis[0] ** 2 + axis[1] ** 2)
    side = (-axis[1] / level, axis[0] / level, 0.0)
    upward = (-axis[2] * side[1], axis[2] * side[0], axis[0] * side[1] - axis[1] * side[0])
    points = [lamp.position]
    for number in range(lamp.points - 1):
        angle = 2 * math.pi * number / (lamp.points - 1)
        share = lamp.radius * (1.0 if number % 2 else 0.55)
        x, y, z = (
            lamp.position[part]
            + share * (math.cos(angle) * side[part] + math.sin(angle) * upward[part])
            for part in range(3)
        )
        points.append((x, y, z))
    return points


def _mirrored(world: _World, surface: _Surface, direction: np.ndarray) -> np.ndarray:
    """What a mirror shows (3, P): the objects around, the ground, the lamps and the sky."""
    incoming = unit(direction)
    outgoing = incoming - 2 * dot(incoming, surface.normal) * surface.normal
    hits = trace(world.objects, surface.point, outgoing, leaving=surface.label)
    seen = _surface(world, surface.point, outgoing, hits)
    light = world.palette[hits.label].T * _received(world, seen, shadows=False)
    upward = np.nonzero((hits.label == GROUND) & (outgoing[2] > 0))[0]
    light[:, upward] = _sky_and_lamps(world.lamps, surface.point[:, upward], outgoing[:, upward])
    return light


def _sky_and_lamps(lamps: Sequence[Lamp], point: np.ndarray, direction: np.ndarray) -> np.ndarray:
    light = np.float32(0.1) + np.float32(0.35) * (1 - direction[2]) * (1 - direction[2])
    for lamp in lamps:
        toward = unit(column(lamp.position) - point)
        glint = np.maximum(dot(toward, direction), 0)
        for _ in range(_GLINT_POWERS):
            glint = glint * glint
        light = light + np.float32(lamp.power * 0.25) * glint
    return light
