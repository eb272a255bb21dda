"""2-D scenes: flat coloured shapes before a plain background, with their masks.

Scene i of a split depends on nothing but the seed, the split's name, i and the settings.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from common.core.command_line import boolean
from common.core.errors import ZooError
from slot_attention.data.scenes import Scene
from slot_attention.synthetic.settings import pair, require, scene_stream, setting, whole_between

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
    """What sprite scenes look like; ZooError where it can't be."""

    image_size: Tuple[int, int] = setting(
        (32, 32), pair(int, single=True), "height,width in pixels, or one number for both"
    )
    objects: Tuple[int, int] = setting(
        (2, 3), pair(int, single=True), "fewest,most objects of a scene"
    )
    shapes: Tuple[str, ...] = setting(
        ("square", "ellipse", "heart"), _names, "some of " + ",".join(SHAPES)
    )
    scale: Tuple[float, float] = setting(
        (0.3, 0.45), pair(float), "smallest,largest side of a sprite, as a share of the image's"
    )
    colors: str = setting("palette", str, "palette (none twice in a scene) or random")
    background: str = setting("black", str, ", ".join(BACKGROUNDS))
    overlap: bool = setting(True, boolean, "whether sprites may touch and hide one another")
    visible: float = setting(0.4, float, "least share of each object that is not hidden")
    rotate: bool = setting(True, boolean, "whether sprites are turned")

    def __post_init__(self) -> None:
        low, high = self.objects
        most = len(PALETTE) if self.colors == "palette" else 255
        for fine, name, expected in (
            (min(self.image_size) >= _SMALLEST_SIDE, "image_size", f"{_SMALLEST_SIDE} or more"),
            (1 <= low <= high <= most, "objects", f"LOW,HIGH with 1 <= LOW <= HIGH <= {most}"),
            (
                bool(self.shapes) and set(self.shapes) <= set(SHAPES),
                "shapes",
                "names from " + ", ".join(SHAPES),
            ),
            (
                0 < self.scale[0] <= self.scale[1] <= 0.7,
                "scale",
                "LOW,HIGH with 0 < LOW <= HIGH <= 0.7",
            ),
            (self.colors in COLORS, "colors", " or ".join(COLORS)),
            (self.background in BACKGROUNDS, "background", " or ".join(BACKGROUNDS)),
            (0 <= self.visible <= 1, "visible", "a share from 0 to 1"),
        ):
            require(fine, self, name, expected)

    @property
    def entities(self) -> int:
        """Number of masks of a scene: the background and the most sprites."""
        return self.objects[1] + 1


class _Patch(NamedTuple):
    """A sprite's pixels: the rows and columns that enclose it, and which of them it covers."""

    rows: slice
    columns: slice
    covered: np.ndarray


def draw_sprite_scene(
    seed: int,
    split: str,
    index: int,
    settings: SpriteSettings = SpriteSettings(),  # noqa: B008
) -> Scene:
    """Draws scene number index of a split; ZooError where the sprites don't fit."""
    stream = scene_stream(seed, "sprites", split, index)
    count = whole_between(stream, settings.objects)
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
        labels, area = placed
        areas.append(area)
    return labels


def _placed(
    stream: np.random.RandomState, settings: SpriteSettings, labels: np.ndarray, areas: List[int]
) -> Optional[Tuple[np.ndarray, int]]:
    """The labels with a further sprite on top, and its area; None where there is no room."""
    forbidden = None if settings.overlap else _with_neighbours(labels)
    for _ in range(_PLACES_PER_SPRITE):
        rows, columns, covered = _random_patch(stream, settings)
        area = int(np.count_nonzero(covered))
        if not area or (forbidden is not None and (forbidden[rows, columns] & covered).any()):
            continue
        drawn = labels.copy()
        drawn[rows, columns][covered] = len(areas) + 1
        shown = np.bincount(drawn.ravel(), minlength=len(areas) + 2)
        if forbidden is not None or all(
            shown[number] >= max(1.0, settings.visible * whole)
            for number, whole in enumerate(areas, start=1)
        ):
            return drawn, area
    return None


def _random_patch(stream: np.random.RandomState, settings: SpriteSettings) -> _Patch:
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
    return _Patch(rows, columns, covered)


def _span(center: float, reach: float, limit: int) -> slice:
    first = max(0, int(math.floor(center - reach)))
    return slice(first, min(limit, int(math.ceil(center + reach)) + 1))


def _with_neighbours(labels: np.ndarray) -> np.ndarray:
    """bool (H, W): the pixels that are taken or have a neighbour (of eight) that is."""
    taken = np.pad(labels > 0, 1)
    height, width = labels.shape
    shifts = [(down, right) for down in range(3) for right in range(3)]
    return np.any(
        [taken[down : down + height, right : right + width] for down, right in shifts], axis=0
    )
