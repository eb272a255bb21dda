"""What a 3-D scene holds and where: drawn by chance, in CLEVR's sizes, colours and distances."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from common.core.command_line import boolean
from common.core.errors import ZooError
from slot_attention.data.scenes import COLORS, MATERIALS, SHAPES, SIZES
from slot_attention.synthetic.settings import between, pair, require, setting, whole_between

Vector = Tuple[float, float, float]
RADII: Dict[str, float] = {"small": 0.35, "large": 0.7}
_REACH = 3.0
_PLACES_PER_OBJECT = 50
_ARRANGEMENTS = 400
_SMALLEST_SIDE = 16
_MOST_OBJECTS = 10


@dataclasses.dataclass(frozen=True)
class SceneSettings:
    """What 3-D scenes look like; ZooError where it can't be."""

    image_size: Tuple[int, int] = setting(
        (240, 320), pair(int, single=True), "height,width in pixels, or one number for both"
    )
    objects: Tuple[int, int] = setting(
        (3, 6), pair(int, single=True), "fewest,most objects of a scene (CLEVR: 3,10)"
    )
    gap: float = setting(0.1, float, "least distance between two objects, in units of the scene")
    margin: float = setting(0.2, float, "least distance of two centres to the side and in depth")
    visible: float = setting(0.4, float, "least share of each object that is not hidden")
    smallest: float = setting(150.0, float, "least visible pixels of an object, at 240x320")
    camera_jitter: float = setting(0.5, float, "largest shift of the camera along each axis")
    light_jitter: float = setting(1.0, float, "largest shift of the lights along each axis")
    antialias: bool = setting(True, boolean, "smooth edges in the images; masks never are")

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


def arrange(
    stream: np.random.RandomState, settings: SceneSettings, axes: Tuple[Vector, Vector]
) -> List[SceneObject]:
    """Draws objects that keep their distance; ZooError where there is no room for so many.

    Args:
        axes: "right" and "front" of the picture on the ground; margin is measured there.
    """
    count = whole_between(stream, settings.objects)
    for _ in range(_ARRANGEMENTS):
        objects: List[SceneObject] = []
        while len(objects) < count:
            placed = _placed(stream, settings, axes, objects)
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
    stream: np.random.RandomState,
    settings: SceneSettings,
    axes: Tuple[Vector, Vector],
    others: List[SceneObject],
) -> Optional[SceneObject]:
    shape, size, material, color = (
        names[whole_between(stream, (0, len(names) - 1))]
        for names in (SHAPES, SIZES, MATERIALS, COLORS)
    )
    rotation = between(stream, (0.0, 360.0))
    for _ in range(_PLACES_PER_OBJECT):
        x, y = between(stream, (-_REACH, _REACH)), between(stream, (-_REACH, _REACH))
        candidate = SceneObject(shape, size, material, color, rotation, x, y)
        if all(_apart(candidate, other, settings, axes) for other in others):
            return candidate
    return None


def _apart(
    one: SceneObject, other: SceneObject, settings: SceneSettings, axes: Tuple[Vector, Vector]
) -> bool:
    right, down = one.x - other.x, one.y - other.y
    if math.sqrt(right * right + down * down) < one.reach + other.reach + settings.gap:
        return False
    return all(abs(right * axis[0] + down * axis[1]) > settings.margin for axis in axes)
