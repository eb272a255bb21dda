"""Random crop and flip of whole batches, on uint8."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

PADDING = 2


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers of a batch: where each image is cut out, and whether it is mirrored.

    Attributes:
        offsets: int64, (N, 2): top and left in the padded image, 0 to 2 * PADDING.
        flips: bool, (N,).
    """

    offsets: np.ndarray
    flips: np.ndarray

    def part(self, first: int, count: int) -> Draws:
        """The draws of `count` images from the first on."""
        return Draws(self.offsets[first : first + count], self.flips[first : first + count])


def draw(seed: int, step: int, stream: str, count: int, flip: bool = True) -> Draws:
    """The draws of a step; each stream, by its name, has draws of its own.

    Args:
        flip: mirrors half of the images; none where what they show has a left and a right.
    """
    generator = np.random.RandomState([seed, zlib.crc32(stream.encode("utf-8")), step])
    offsets = generator.randint(0, 2 * PADDING + 1, (count, 2))
    return Draws(offsets, generator.randint(0, 2, count).astype(bool) & flip)


def augment(images: np.ndarray, draws: Draws) -> np.ndarray:
    """Pads by PADDING zeros on each side, cuts the own size out again, mirrors left to right.

    Args:
        images: uint8, (N, H, W, C).
        draws: of N images.

    Returns:
        uint8, (N, H, W, C), a copy.
    """
    count, height, width, channels = images.shape
    padded = np.zeros((count, height + 2 * PADDING, width + 2 * PADDING, channels), np.uint8)
    padded[:, PADDING : PADDING + height, PADDING : PADDING + width] = images
    by_image, by_row, by_column, by_channel = padded.strides
    places = 2 * PADDING + 1
    windows = as_strided(
        padded,
        (count, places, places, height, width, channels),
        (by_image, by_row, by_column, by_row, by_column, by_channel),
        writeable=False,
    )
    cut = windows[np.arange(count), draws.offsets[:, 0], draws.offsets[:, 1]]
    cut[draws.flips] = cut[draws.flips, :, ::-1]
    return cut
