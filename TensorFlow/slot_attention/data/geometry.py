"""Which pixels of a source image a network sees: crop, bilinear resize, masks by nearest neighbour.

numpy only. The sampling points are those of TensorFlow's resize kernels, in float32 as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Tuple

import numpy as np

from common.core.errors import UsageError

CROP_NAMES = ("none", "centre", "clevr_reference")
RESIZE_NAMES = ("tf2", "tf1")

Size = Tuple[int, ...]  # (height, width)


class CropBox(NamedTuple):
    """A rectangle of an image: rows top to top + height, columns left to left + width."""

    top: int
    left: int
    height: int
    width: int


# Rows 29:221, columns 64:256: the reference's crop, off-centre on 320x480 images as there.
_CLEVR_REFERENCE = CropBox(29, 64, 192, 192)


def crop_box(name: str, size: Size) -> CropBox:
    """The box of one of CROP_NAMES in an image of (height, width); UsageError: it doesn't fit."""
    height, width = size
    if name == "none":
        return CropBox(0, 0, height, width)
    if name == "centre":
        side = min(height, width)
        return CropBox((height - side) // 2, (width - side) // 2, side, side)
    box = _CLEVR_REFERENCE
    if height < box.top + box.height or width < box.left + box.width:
        raise UsageError(
            "crop clevr_reference needs images of at least 221x256, these are "
            f"{height}x{width}: use crop none or centre"
        )
    return box


@dataclass(frozen=True)
class Geometry:
    """From a source image to what the network sees.

    Attributes:
        source: (height, width) of the images in the files.
        crop: one of CROP_NAMES.
        resolution: (height, width) the network sees.
        resize: "tf2", half-pixel centres (tf.image.resize of TensorFlow 2); "tf1", corners of
            pixels (that of the TensorFlow 1.15 namespace).
    """

    source: Size
    crop: str
    resolution: Size
    resize: str = "tf2"

    @property
    def box(self) -> CropBox:
        """The crop as a rectangle of the source image."""
        return crop_box(self.crop, self.source)

    @property
    def keeps_size(self) -> bool:
        """Whether the crop has the network's size already, so that nothing is resized."""
        return self.box[2:] == tuple(self.resolution)

    @property
    def text(self) -> str:
        """The geometry in words, for run records."""
        how = "not resized"
        if not self.keeps_size:
            how = f"resized to {self.resolution[0]}x{self.resolution[1]} ({self.resize} bilinear)"
        return f"{self.source[0]}x{self.source[1]}, crop {self.crop}, {how}"


def preprocess_array(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The reference's preprocessing: float32 (height, width, channels) in [-1, 1] of uint8 pixels.

    (x / 255 - 0.5) * 2, crop, bilinear resize, clip; equal to the reference's to the last bit or
    the one before. Source: google-research slot_attention/data.py, preprocess_clevr.
    """
    box = geometry.box
    pixels = image[box.top : box.top + box.height, box.left : box.left + box.width]
    if geometry.keeps_size:
        return _scaled(pixels)
    upper, lower, down = _taps(box.height, geometry.resolution[0], geometry.resize)
    left, right, across = _taps(box.width, geometry.resolution[1], geometry.resize)
    down, across = down.reshape(-1, 1, 1), across.reshape(1, -1, 1)

    def wide(rows: np.ndarray) -> np.ndarray:
        chosen = pixels.take(rows, axis=0)
        first, second = (_scaled(chosen.take(columns, axis=1)) for columns in (left, right))
        return first + (second - first) * across

    top, bottom = wide(upper), wide(lower)
    return np.clip(top + (bottom - top) * down, -1, 1)


def resize_to_bytes(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The preprocessed image in 8 bits, uint8 (height, width, channels): off by half a step."""
    if geometry.keeps_size:
        box = geometry.box
        return image[box.top : box.top + box.height, box.left : box.left + box.width]
    images = preprocess_array(image, geometry)
    return np.rint((images * np.float32(0.5) + np.float32(0.5)) * np.float32(255)).astype(np.uint8)


def mask_places(geometry: Geometry) -> Tuple[np.ndarray, np.ndarray]:
    """The source rows and columns that masks are taken from, by nearest neighbour, for indexing."""
    box = geometry.box
    rows = box.top + _nearest(box.height, geometry.resolution[0], geometry.resize)
    return np.ix_(rows, box.left + _nearest(box.width, geometry.resolution[1], geometry.resize))


def _scaled(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(np.float32) / np.float32(255) - np.float32(0.5)) * np.float32(2)


def _taps(source: int, target: int, resize: str) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each target position its neighbours before and after, and the weight of the latter."""
    scale = np.float32(source) / np.float32(target)
    points = np.arange(target, dtype=np.float32) * scale
    if resize == "tf2":
        points = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floors = np.floor(points)
    before = np.maximum(floors.astype(np.int64), 0)
    after = np.minimum(np.ceil(points).astype(np.int64), source - 1)
    return before, after, (points - floors).astype(np.float32)


def _nearest(source: int, target: int, resize: str) -> np.ndarray:
    scale = np.float32(source) / np.float32(target)
    offset = np.float32(0.5 if resize == "tf2" else 0.0)
    points = np.floor((np.arange(target, dtype=np.float32) + offset) * scale)
    return np.minimum(points.astype(np.int64), source - 1)
