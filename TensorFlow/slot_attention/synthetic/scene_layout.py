"""What a 3-D scene holds and where: drawn by chance, in CLEVR's sizes, colours and distances."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.synthetic.seeding import between, whole_between

SIZES: Dict[str, float] = {"small": 0.35, "large": 0.7}
MATERIALS = ("rubber", "metal")
SHAPES = ("cube", "sphere", "cylinder")
COLORS: Dict[str, Tuple[int, int, int]] = {
    "gray": (87, 87, 87),
    "blue": (42, 75, 215),
    "brown": (129, 74, 25),
    "yellow": (255, 238, 51),
    "red": (173, 35, 35),
    "green": (29, 105, 20),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
}
REACH = 3.0
_PLACES_PER_OBJECT = 50
_ARRANGEMENTS = 400
_SMALLEST_SIDE = 16
_MOST_OBJECTS = 10


@dataclasses.dataclass(frozen=True)
class SceneSettings:
    """What 3-D scenes look like.

    Attributes:
        image_size: height and width in pixels.
        objects: fewest and most objects of a scene (CLEVR: 3 to 10).
        gap: least distance between the circles around two objects on the ground.
        margin: least distance of two centres along each of the four directions of the picture.
        visible: the least share of each object's pixels that no other object hides.
        smallest: the least number of an object's visible pixels, at 240x320 (scaled elsewhere).
        camera_jitter: largest shift of the camera along each axis.
        light_jitter: largest shift of the lights along each axis.
        antialias: smooth edges in the image; masks never are.
    """

    image_size: Tuple[int, int] = (240, 320)
    objects: Tuple[int, int] = (3, 6)
    gap: float = 0.1
    margin: float = 0.2
    visible: float = 0.4
    smallest: float = 150.0
    camera_jitter: float = 0.5
    light_jitter: float = 1.0
    antialias: bool = True

    def __post_init__(self) -> None:
        _require(
            min(self.image_size) >= _SMALLEST_SIDE,
            "image_size",
            self.image_size,
            f"at least {_SMALLEST_SIDE}x{_SMALLEST_SIDE}",
        )
        _require(
            1 <= self.objects[0] <= self.objects[1] <= _MOST_OBJECTS,
            "objects",
            self.objects,
            f"LOW,HIGH with 1 <= LOW <= HIGH <= {_MOST_OBJECTS}",
        )
        _require(0 <= self.visible <= 1, "visible", self.visible, "a share from 0 to 1")
        for name in ("gap", "margin", "smallest", "camera_jitter", "light_jitter"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    @property
    def entities(self) -> int:
        """Number of masks of a scene: the background and the most objects."""
        return self.objects[1] + 1

    @property
    def smallest_here(self) -> float:
        """The least number of visible pixels at image_size."""
        return self.smallest * self.image_size[0] * self.image_size[1] / (240.0 * 320.0)


def _require(fine: bool, name: str, value: object, expected: str) -> None:
    if not fine:
        raise ZooError(f"scenes: {name} is {value}; expected {expected}")


class SceneObject(NamedTuple):
    """An object of CLEVR; coordinates are those of its centre, rotation is in degrees."""

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
        return SIZES[self.size]

    @property
    def z(self) -> float:
        """The height of the centre: objects stand on the ground."""
        return self.radius

    @property
    def reach(self) -> float:
        """The radius of the circle around the object on the ground."""
        return self.radius * (math.sqrt(2.0) if self.shape == "cube" else 1.0)


Directions = Dict[str, Tuple[float, float, float]]


def arrange(
    stream: np.random.RandomState, settings: SceneSettings, directions: Directions
) -> List[SceneObject]:
    """Draws objects that keep their distance.

    Args:
        directions: "right" and "front" of the picture on the ground; margin is measured there.

    Raises:
        ZooError: there is no room for so many.
    """
    count = whole_between(stream, settings.objects)
    for _ in range(_ARRANGEMENTS):
        objects = _try_to_arrange(stream, settings, directions, count)
        if objects is not None:
            return objects
    raise ZooError(
        f"scenes: {count} objects don't fit with gap={settings.gap} and "
        f"margin={settings.margin}; ask for fewer objects "
        "or smaller distances"
    )


def _try_to_arrange(
    stream: np.random.RandomState, settings: SceneSettings, directions: Directions, count: int
) -> Optional[List[SceneObject]]:
    objects: List[SceneObject] = []
    for _ in range(count):
        placed = _place(stream, settings, directions, objects)
        if placed is None:
            return None
        objects.append(placed)
    return objects


def _place(
    stream: np.random.RandomState,
    settings: SceneSettings,
    directions: Directions,
    others: List[SceneObject],
) -> Optional[SceneObject]:
    kind = _random_kind(stream)
    for _ in range(_PLACES_PER_OBJECT):
        candidate = kind._replace(
            x=between(stream, (-REACH, REACH)), y=between(stream, (-REACH, REACH))
        )
        if all(_apart(candidate, other, settings, directions) for other in others):
            return candidate
    return None


def _random_kind(stream: np.random.RandomState) -> SceneObject:
    shape, size, material, color = (
        names[whole_between(stream, (0, len(names) - 1))]
        for names in (SHAPES, tuple(SIZES), MATERIALS, tuple(COLORS))
    )
    return SceneObject(shape, size, material, color, between(stream, (0.0, 360.0)), 0.0, 0.0)


def _apart(
    one: SceneObject, other: SceneObject, settings: SceneSettings, directions: Directions
) -> bool:
    right, down = one.x - other.x, one.y - other.y
    if math.sqrt(right * right + down * down) < one.reach + other.reach + settings.gap:
        return False
    return all(
        abs(right * directions[name][0] + down * directions[name][1]) > settings.margin
        for name in ("right", "front")
    )
