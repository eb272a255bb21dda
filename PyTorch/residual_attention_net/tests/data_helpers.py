"""Small data for the tests of data and loaders."""

from __future__ import annotations

import numpy as np

from common.data.labelled_images import LabelledImages

CLASSES = ("zero", "one", "two")


def numbered_images(count: int, size: int = 6, channels: int = 3) -> LabelledImages:
    """Images of random pixels; the label of image i is i modulo 3."""
    return _numbered((count, size, size, channels))


def numbered_volumes(count: int, size: int = 6, channels: int = 1) -> LabelledImages:
    """Volumes of random voxels, labelled likewise."""
    return _numbered((count, size, size, size, channels))


def _numbered(shape: tuple[int, ...]) -> LabelledImages:
    # From 1, so that a zero in a result can only be padding or cutout.
    pixels = np.random.RandomState(7).randint(1, 256, shape).astype(np.uint8)
    return LabelledImages(pixels, np.arange(shape[0], dtype=np.int64) % 3, CLASSES)


def identified_images(count: int) -> LabelledImages:
    """2x2 grey images whose every pixel is the image's number, at most 255."""
    numbers = np.arange(count, dtype=np.uint8)
    pixels = np.broadcast_to(numbers[:, None, None, None], (count, 2, 2, 1)).copy()
    return LabelledImages(pixels, np.arange(count, dtype=np.int64) % 3, CLASSES)
