"""Ten shapes drawn in grey with noise, in whole numbers: the same bytes on every stack."""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np

from common.core.errors import UsageError
from common.data.labelled_images import LabelledImages, Source

DEFAULT_SIZE = 28
SMALLEST_SIZE = 12
TRAIN_COUNT, TEST_COUNT = 4000, 1000
# Fixed, so that the data is the same whatever the seed of a run.
_SEED = 20190217
_PAPER, _INK, _NOISE = (0, 60), (110, 210), 45

Shape = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def load_synthetic_shapes(size: int = DEFAULT_SIZE) -> Source:
    """Generated images of size x size, every class equally often, the same each time.

    A shape has its own place, size, brightness, background and noise in every image.

    Raises:
        UsageError: a size too small to draw in.
    """
    if size < SMALLEST_SIZE:
        raise UsageError(
            f"synthetic_shapes of {size} pixels: at least {SMALLEST_SIZE} are needed; give "
            "another --img_size"
        )
    return Source(
        draw_shapes(TRAIN_COUNT, size, 1),
        draw_shapes(TEST_COUNT, size, 2),
        tuple(_SHAPES),
        "the generated training shapes",
        "the generated test shapes",
    )


def draw_shapes(count: int, size: int, stream: int) -> LabelledImages:
    """`count` images of size x size; each stream has images of its own."""
    generator = np.random.RandomState([_SEED, stream])
    labels = generator.permutation(np.arange(count) % len(_SHAPES)).astype(np.int32)
    per_image = (count, 1, 1)
    # All in half pixels from the middle of the image, so that no shape is cut off.
    radius = generator.randint(size * 45 // 100, size * 80 // 100 + 1, per_image)
    room = size - radius
    centre_y, centre_x = (
        generator.randint(0, 2 * size + 1, per_image) % (2 * room + 1) - room for _ in range(2)
    )
    pixels = 2 * np.arange(size) + 1 - size
    y = pixels[np.newaxis, :, np.newaxis] - centre_y
    x = pixels[np.newaxis, np.newaxis, :] - centre_x
    inside = np.zeros((count, size, size), bool)
    for label, shape in enumerate(_SHAPES.values()):
        chosen = labels == label
        inside[chosen] = shape(y[chosen], x[chosen], radius[chosen])
    paper, ink = (generator.randint(*limits, size=per_image) for limits in (_PAPER, _INK))
    images = np.where(inside, ink, paper) + generator.randint(0, _NOISE, inside.shape)
    return LabelledImages(images.astype(np.uint8)[..., np.newaxis], labels)


# --- the shapes: which places (y, x), from the centre, belong to one of a radius ---------------


def _square(y: np.ndarray, x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(y), np.abs(x)) <= radius


def _stripe(along: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Whether a place is in an even one of five stripes."""
    return (along + radius) * 5 // (2 * radius + 1) % 2 == 0


def _disc(y: np.ndarray, x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return y * y + x * x <= radius * radius


_SHAPES: Dict[str, Shape] = {
    "disc": _disc,
    "ring": lambda y, x, r: _disc(y, x, r) & ((y * y + x * x) * 100 > r * r * 36),
    "square": _square,
    "frame": lambda y, x, r: _square(y, x, r) & (np.maximum(np.abs(y), np.abs(x)) * 10 > r * 6),
    "triangle": lambda y, x, r: _square(y, x, r) & (2 * np.abs(x) <= y + r),
    "plus": lambda y, x, r: _square(y, x, r) & (np.minimum(np.abs(y), np.abs(x)) * 4 <= r),
    "cross": lambda y, x, r: _square(y, x, r) & (np.abs(np.abs(y) - np.abs(x)) * 3 <= r),
    "lying bars": lambda y, x, r: _square(y, x, r) & _stripe(y, r),
    "standing bars": lambda y, x, r: _square(y, x, r) & _stripe(x, r),
    "checkerboard": lambda y, x, r: _square(y, x, r) & (_stripe(y, r) == _stripe(x, r)),
}
