"""2-D scenes: flat coloured shapes before a plain background, with their masks.

The fields of a scene are those of Multi-dSprites; scene i of a split depends on nothing but the
seed, the split's name, i and the settings.
"""

from __future__ import annotations

import dataclasses
import math
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.synthetic.seeding import scene_stream, whole_between
from slot_attention.synthetic.sprite_shapes import SHAPE_CODES, SHAPES

PALETTE = np.array(
    [
        (255, 60, 60),
        (60, 200, 60),
        (70, 110, 255),
        (255, 220, 50),
        (200, 70, 230),
        (60, 220, 230),
        (255, 150, 40),
        (240, 240, 240),
    ],
    np.uint8,
)
BACKGROUNDS = ("black", "gray", "color")
COLORS = ("palette", "random")
SMALLEST_SIDE = 8
_PLACES_PER_SPRITE = 60
_ARRANGEMENTS = 100


@dataclasses.dataclass(frozen=True)
class SpriteSettings:
    """What sprite scenes look like.

    Attributes:
        image_size: height and width in pixels.
        objects: fewest and most sprites of a scene.
        shapes: names from sprite_shapes.SHAPES.
        scale: smallest and largest side of a sprite, as a share of the image's shorter side.
        colors: "palette" (eight colours, none twice in a scene) or "random".
        background: "black", "gray" (a random brightness) or "color" (a random colour).
        overlap: False keeps a pixel of background between any two sprites.
        visible: the least share of each sprite's pixels that no other sprite hides.
        rotate: whether sprites are turned.
    """

    image_size: Tuple[int, int] = (32, 32)
    objects: Tuple[int, int] = (2, 3)
    shapes: Tuple[str, ...] = ("square", "ellipse", "heart")
    scale: Tuple[float, float] = (0.3, 0.45)
    colors: str = "palette"
    background: str = "black"
    overlap: bool = True
    visible: float = 0.4
    rotate: bool = True

    def __post_init__(self) -> None:
        _require(
            min(self.image_size) >= SMALLEST_SIDE,
            "image_size",
            self.image_size,
            f"at least {SMALLEST_SIDE}x{SMALLEST_SIDE}",
        )
        _require(
            1 <= self.objects[0] <= self.objects[1],
            "objects",
            self.objects,
            "LOW,HIGH with 1 <= LOW <= HIGH",
        )
        _require(
            bool(self.shapes) and set(self.shapes) <= set(SHAPES),
            "shapes",
            self.shapes,
            "names from " + ", ".join(SHAPES),
        )
        _require(
            0 < self.scale[0] <= self.scale[1] <= 0.7,
            "scale",
            self.scale,
            "LOW,HIGH with 0 < LOW <= HIGH <= 0.7",
        )
        _require(self.colors in COLORS, "colors", self.colors, " or ".join(COLORS))
        _require(
            self.colors != "palette" or self.objects[1] <= len(PALETTE),
            "objects",
            self.objects,
            f"at most {len(PALETTE)} of the palette",
        )
        _require(
            self.background in BACKGROUNDS, "background", self.background, " or ".join(BACKGROUNDS)
        )
        _require(0 <= self.visible <= 1, "visible", self.visible, "a share from 0 to 1")

    @property
    def entities(self) -> int:
        """Number of masks of a scene: the background and the most sprites."""
        return self.objects[1] + 1


def _require(fine: bool, name: str, value: object, expected: str) -> None:
    if not fine:
        raise ZooError(f"sprites: {name} is {value}; expected {expected}")


class SpriteScene(NamedTuple):
    """A scene of N entities, the background first; what is absent is all zero.

    image uint8 (H, W, 3); masks bool (N, H, W), every pixel in exactly one; float32 (N): x and y
    (the centre from 0 to 1, right and down), shape (code from 1), visibility (1 where present),
    orientation (radians), scale; color float32 (N, 3) from 0 to 1.
    """

    image: np.ndarray
    masks: np.ndarray
    x: np.ndarray
    y: np.ndarray
    shape: np.ndarray
    visibility: np.ndarray
    orientation: np.ndarray
    scale: np.ndarray
    color: np.ndarray


class _Sprite(NamedTuple):
    shape: str
    scale: float
    orientation: float
    x: float
    y: float


class _Patch(NamedTuple):
    """A sprite's pixels: the rows and columns that enclose it, and which of them it covers."""

    rows: slice
    columns: slice
    covered: np.ndarray


def draw_sprite_scene(
    seed: int, split: str, index: int, settings: SpriteSettings = SpriteSettings()
) -> SpriteScene:  # noqa: B008
    """Draws scene number index of a split.

    Raises:
        ZooError: the sprites don't fit into the image.
    """
    stream = scene_stream(seed, "sprites", split, index)
    count = whole_between(stream, settings.objects)
    background = _background_color(stream, settings)
    colors = _sprite_colors(stream, settings, count, background)
    sprites, labels = _arrange(stream, settings, count)
    return _scene(settings, sprites, labels, np.vstack([background[None], colors]))


def draw_sprite_batch(
    seed: int,
    split: str,
    start: int,
    count: int,
    settings: SpriteSettings = SpriteSettings(),  # noqa: B008
) -> Tuple[np.ndarray, np.ndarray]:
    """Draws scenes start to start + count - 1.

    Returns:
        Images uint8 (count, H, W, 3) and masks bool (count, N, H, W).
    """
    scenes = [draw_sprite_scene(seed, split, start + number, settings) for number in range(count)]
    return (
        np.stack([scene.image for scene in scenes]),
        np.stack([scene.masks for scene in scenes]),
    )


def _background_color(stream: np.random.RandomState, settings: SpriteSettings) -> np.ndarray:
    if settings.background == "black":
        return np.zeros(3, np.uint8)
    if settings.background == "gray":
        return np.full(3, int(stream.random_sample() * 200), np.uint8)
    return (stream.random_sample(3) * 256).astype(np.uint8)


def _sprite_colors(
    stream: np.random.RandomState, settings: SpriteSettings, count: int, background: np.ndarray
) -> np.ndarray:
    if settings.colors == "palette":
        return PALETTE[np.argsort(stream.random_sample(len(PALETTE)), kind="mergesort")[:count]]
    return np.array([_color_unlike(stream, background) for _ in range(count)], np.uint8)


def _color_unlike(stream: np.random.RandomState, background: np.ndarray) -> np.ndarray:
    while True:
        color = (stream.random_sample(3) * 256).astype(np.uint8)
        if np.abs(color.astype(int) - background.astype(int)).max() >= 64:
            return color


def _arrange(
    stream: np.random.RandomState, settings: SpriteSettings, count: int
) -> Tuple[List[_Sprite], np.ndarray]:
    """The sprites, farthest first, and which of them (from 1) each pixel (H, W) shows."""
    for _ in range(_ARRANGEMENTS):
        arranged = _try_to_arrange(stream, settings, count)
        if arranged is not None:
            return arranged
    raise ZooError(
        f"sprites: {count} sprites of scale {settings.scale} don't fit into "
        f"{settings.image_size[0]}x{settings.image_size[1]} pixels with "
        f"overlap={settings.overlap} and visible={settings.visible}"
        "; ask for fewer or smaller ones"
    )


def _try_to_arrange(
    stream: np.random.RandomState, settings: SpriteSettings, count: int
) -> Optional[Tuple[List[_Sprite], np.ndarray]]:
    sprites: List[_Sprite] = []
    areas: List[int] = []
    labels = np.zeros(settings.image_size, np.uint8)
    while len(sprites) < count:
        placed = _place(stream, settings, labels, areas)
        if placed is None:
            return None
        sprite, labels, area = placed
        sprites.append(sprite)
        areas.append(area)
    return sprites, labels


def _place(
    stream: np.random.RandomState, settings: SpriteSettings, labels: np.ndarray, areas: List[int]
) -> Optional[Tuple[_Sprite, np.ndarray, int]]:
    """A further sprite, the labels with it on top, and its area; None where there is no room."""
    forbidden = None if settings.overlap else _with_neighbours(labels)
    for _ in range(_PLACES_PER_SPRITE):
        sprite = _random_sprite(stream, settings)
        patch = _patch(sprite, settings.image_size)
        area = int(np.count_nonzero(patch.covered))
        if not area or (
            forbidden is not None and (forbidden[patch.rows, patch.columns] & patch.covered).any()
        ):
            continue
        drawn = labels.copy()
        drawn[patch.rows, patch.columns][patch.covered] = len(areas) + 1
        if forbidden is not None or _visible_enough(drawn, areas, settings.visible):
            return sprite, drawn, area
    return None


def _random_sprite(stream: np.random.RandomState, settings: SpriteSettings) -> _Sprite:
    kind, size, turn, right, down = stream.random_sample(5)
    scale = settings.scale[0] + (settings.scale[1] - settings.scale[0]) * size
    height, width = settings.image_size
    shorter = min(height, width)
    reach = min(0.5, scale * 0.6) * shorter  # centres keep (nearly all of) the sprite inside
    return _Sprite(
        shape=settings.shapes[int(kind * len(settings.shapes))],
        scale=scale,
        orientation=2 * math.pi * turn if settings.rotate else 0.0,
        x=(reach + right * (width - 2 * reach)) / width,
        y=(reach + down * (height - 2 * reach)) / height,
    )


def _patch(sprite: _Sprite, image_size: Tuple[int, int]) -> _Patch:
    height, width = image_size
    half = 0.5 * sprite.scale * min(height, width)
    center_row, center_column = sprite.y * height - 0.5, sprite.x * width - 0.5
    rows = _span(center_row, half * 1.42, height)
    columns = _span(center_column, half * 1.42, width)
    right = (np.arange(columns.start, columns.stop) - center_column) / half
    up = (center_row - np.arange(rows.start, rows.stop))[:, None] / half
    cosine, sine = math.cos(sprite.orientation), math.sin(sprite.orientation)
    covered = SHAPES[sprite.shape](cosine * right + sine * up, cosine * up - sine * right)
    return _Patch(rows, columns, covered)


def _span(center: float, reach: float, limit: int) -> slice:
    return slice(
        max(0, int(math.floor(center - reach))), min(limit, int(math.ceil(center + reach)) + 1)
    )


def _with_neighbours(labels: np.ndarray) -> np.ndarray:
    """bool (H, W): the pixels that are taken or have a neighbour (of eight) that is."""
    taken = labels > 0
    tall = taken.copy()
    tall[1:] |= taken[:-1]
    tall[:-1] |= taken[1:]
    wide = tall.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def _visible_enough(labels: np.ndarray, areas: List[int], share: float) -> bool:
    shown = np.bincount(labels.ravel(), minlength=len(areas) + 2)
    return all(
        shown[number] >= max(1.0, share * area) for number, area in enumerate(areas, start=1)
    )


def _scene(
    settings: SpriteSettings, sprites: List[_Sprite], labels: np.ndarray, colors: np.ndarray
) -> SpriteScene:
    entities = settings.entities
    present = np.zeros(entities, np.float32)
    present[: len(sprites) + 1] = 1
    color = np.zeros((entities, 3), np.float32)
    color[: len(colors)] = colors / np.float32(255)
    return SpriteScene(
        image=colors[labels],
        masks=labels[None] == np.arange(entities, dtype=np.uint8)[:, None, None],
        x=_column([sprite.x for sprite in sprites], entities),
        y=_column([sprite.y for sprite in sprites], entities),
        shape=_column([SHAPE_CODES[sprite.shape] for sprite in sprites], entities),
        visibility=present,
        orientation=_column([sprite.orientation for sprite in sprites], entities),
        scale=_column([sprite.scale for sprite in sprites], entities),
        color=color,
    )


def _column(values: List[float], entities: int) -> np.ndarray:
    column = np.zeros(entities, np.float32)
    column[1 : len(values) + 1] = values
    return column
