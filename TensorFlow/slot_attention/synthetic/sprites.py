"""2-D scenes: flat coloured shapes before a plain background, with their masks.

Scene i of a split depends on nothing but the seed, the split's name, i and the settings.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from common.core.flags import flag
from slot_attention.data.scenes import Scene
from slot_attention.synthetic.draws import pair, require, scene_stream, whole_between

# A shape: whether points, to the right and up from -1 to 1, are inside its outline.
SHAPES: Dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "square": lambda x, y: (np.abs(x) <= 0.8) & (np.abs(y) <= 0.8),
    "ellipse": lambda x, y: x * x + y * y * 2.8 <= 1.0,
    "heart": lambda x, y: _heart(x * 1.15, y * 1.15 + 0.1),
    "triangle": lambda x, y: (y >= -0.65) & (np.abs(x) <= (1.0 - y) * 0.57),
    "circle": lambda x, y: x * x + y * y <= 0.81,
    "cross": lambda x, y: (
        (np.maximum(np.abs(x), np.abs(y)) <= 0.95) & (np.minimum(np.abs(x), np.abs(y)) <= 0.32)
    ),
    "bar": lambda x, y: (np.abs(x) <= 0.95) & (np.abs(y) <= 0.4),
}
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
_SMALLEST_SIDE = 8
_PLACES_PER_SPRITE = 60
_ARRANGEMENTS = 100


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    body = x * x + y * y - 1.0
    return body * body * body <= x * x * y * y * y


def _names(text: str) -> Tuple[str, ...]:
    return tuple(text.split(","))


@dataclasses.dataclass(frozen=True)
class SpriteSettings:
    """What sprite scenes look like; UsageError where it can't be."""

    image_size: Tuple[int, int] = flag(
        "height,width in pixels, or one number for both", (32, 32), kind=pair(int)
    )
    objects: Tuple[int, int] = flag("fewest,most objects of a scene", (2, 3), kind=pair(int))
    shapes: Tuple[str, ...] = flag(
        f"some of {','.join(SHAPES)}", ("square", "ellipse", "heart"), kind=_names
    )
    scale: Tuple[float, float] = flag(
        "smallest,largest side of a sprite, as a share of the image's",
        (0.3, 0.45),
        kind=pair(float),
    )
    colors: str = flag("none twice in a scene, or random ones", "palette", choices=COLORS)
    background: str = flag("of one colour", "black", choices=BACKGROUNDS)
    overlap: bool = flag("whether sprites may touch and hide one another", True)
    visible: float = flag("least share of each object that is not hidden", 0.4)
    rotate: bool = flag("whether sprites are turned", True)

    def __post_init__(self) -> None:
        low, high = self.objects
        small, large = self.scale
        most = len(PALETTE) if self.colors == "palette" else 255
        known = bool(self.shapes) and set(self.shapes) <= set(SHAPES)
        for fine, name, expected in (
            (min(self.image_size) >= _SMALLEST_SIDE, "image_size", f"{_SMALLEST_SIDE} or more"),
            (1 <= low <= high <= most, "objects", f"LOW,HIGH with 1 <= LOW <= HIGH <= {most}"),
            (known, "shapes", f"names from {', '.join(SHAPES)}"),
            (0 < small <= large <= 0.7, "scale", "LOW,HIGH with 0 < LOW <= HIGH <= 0.7"),
            (self.colors in COLORS, "colors", " or ".join(COLORS)),
            (self.background in BACKGROUNDS, "background", " or ".join(BACKGROUNDS)),
            (0 <= self.visible <= 1, "visible", "a share from 0 to 1"),
        ):
            require(fine, self, name, expected)

    @property
    def entities(self) -> int:
        """Number of masks of a scene: the background and the most sprites."""
        return self.objects[1] + 1


def draw_sprite_scene(
    seed: int,
    split: str,
    index: int,
    settings: SpriteSettings = SpriteSettings(),  # noqa: B008
) -> Scene:
    """Draws scene number index of a split; ZooError where the sprites don't fit."""
    stream = scene_stream(seed, "sprites", split, index)
    count = whole_between(stream, *settings.objects)
    background = _background_color(stream, settings)
    colors = np.vstack([background[None], _sprite_colors(stream, settings, count, background)])
    for _ in range(_ARRANGEMENTS):
        labels = _arrangement(stream, settings, count)
        if labels is not None:
            return Scene(colors[labels], labels, None, count)
    raise ZooError(
        "{} sprites of scale {} don't fit into {}x{} pixels with overlap={} and visible={}; "
        "ask for fewer or smaller ones".format(
            count, settings.scale, *settings.image_size, settings.overlap, settings.visible
        )
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
    colors: List[np.ndarray] = []
    while len(colors) < count:  # those too like the background are drawn anew
        color = (stream.random_sample(3) * 256).astype(np.uint8)
        if np.abs(color.astype(int) - background.astype(int)).max() >= 64:
            colors.append(color)
    return np.array(colors, np.uint8)


def _arrangement(
    stream: np.random.RandomState, settings: SpriteSettings, count: int
) -> Optional[np.ndarray]:
    """Which sprite (from 1) each pixel (H, W) shows, the last one on top; None without room."""
    areas: List[int] = []
    labels = np.zeros(settings.image_size, np.uint8)
    for _ in range(count):
        placed = _placed(stream, settings, labels, areas)
        if placed is None:
            return None
        labels = placed
    return labels


def _placed(
    stream: np.random.RandomState, settings: SpriteSettings, labels: np.ndarray, areas: List[int]
) -> Optional[np.ndarray]:
    """The labels with a further sprite on top, its area told to areas; None without room."""
    number = len(areas) + 1
    forbidden = None if settings.overlap else _with_neighbours(labels)
    for _ in range(_PLACES_PER_SPRITE):
        place, covered = _random_patch(stream, settings)
        area = int(np.count_nonzero(covered))
        if not area or (forbidden is not None and (forbidden[place] & covered).any()):
            continue
        drawn = labels.copy()
        drawn[place][covered] = number
        shown = np.bincount(drawn.ravel(), minlength=number + 1)[1:number]
        if forbidden is not None or (
            (shown >= np.maximum(1.0, settings.visible * np.array(areas))).all()
        ):
            areas.append(area)
            return drawn
    return None


def _random_patch(
    stream: np.random.RandomState, settings: SpriteSettings
) -> Tuple[Tuple[slice, slice], np.ndarray]:
    """A sprite's pixels: the rows and columns that enclose it, and which of them it covers."""
    kind, size, turn, right, down = stream.random_sample(5)
    scale = settings.scale[0] + (settings.scale[1] - settings.scale[0]) * size
    height, width = settings.image_size
    shorter = min(height, width)
    reach = min(0.5, scale * 0.6) * shorter  # centres keep (nearly all of) the sprite inside
    center_column = (reach + right * (width - 2 * reach)) / width * width - 0.5
    center_row = (reach + down * (height - 2 * reach)) / height * height - 0.5
    half = 0.5 * scale * shorter
    rows = _span(center_row, half * 1.42, height)
    columns = _span(center_column, half * 1.42, width)
    across = (np.arange(columns.start, columns.stop) - center_column) / half
    up = (center_row - np.arange(rows.start, rows.stop))[:, None] / half
    angle = 2 * math.pi * turn if settings.rotate else 0.0
    cosine, sine = math.cos(angle), math.sin(angle)
    inside = SHAPES[settings.shapes[int(kind * len(settings.shapes))]]
    covered = inside(cosine * across + sine * up, cosine * up - sine * across)
    return (rows, columns), covered


def _span(center: float, reach: float, limit: int) -> slice:
    first = max(0, int(math.floor(center - reach)))
    return slice(first, min(limit, int(math.ceil(center + reach)) + 1))


def _with_neighbours(labels: np.ndarray) -> np.ndarray:
    """bool (H, W): the pixels that are taken or have a neighbour (of eight) that is."""
    from scipy.ndimage import binary_dilation  # here: it takes half a second

    return binary_dilation(labels > 0, np.ones((3, 3)))
