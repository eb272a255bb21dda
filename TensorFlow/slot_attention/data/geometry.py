"""Which pixels of a source image a network sees: crop boxes, and the sampling points of a resize.

numpy only. The sampling points are those of TensorFlow's resize kernels, in float32 as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from common.core.errors import UsageError

CROP_NAMES = ("none", "centre", "clevr_reference")
RESIZE_NAMES = ("tf2", "tf1")
STORAGE_NAMES = ("exact", "rounded")

Size = Tuple[int, int]


@dataclass(frozen=True)
class CropBox:
    """A rectangle of an image: rows top to top + height, columns left to left + width."""

    top: int
    left: int
    height: int
    width: int


# Rows 29:221, columns 64:256: the reference's crop, off-centre on 320x480 images as there.
_CLEVR_REFERENCE = CropBox(29, 64, 192, 192)


def crop_box(name: str, size: Size) -> CropBox:
    """Returns the box of a named crop in an image of (height, width).

    Args:
        name: "none"; "centre", the largest square in the middle; "clevr_reference", rows 29:221
            and columns 64:256 as the reference implementation.

    Raises:
        UsageError: an unknown name, or an image that the box doesn't fit in.
    """
    height, width = size
    if name == "none":
        return CropBox(0, 0, height, width)
    if name == "centre":
        side = min(height, width)
        return CropBox((height - side) // 2, (width - side) // 2, side, side)
    if name != "clevr_reference":
        raise UsageError("crop {!r} is unknown: use one of {}".format(name, ", ".join(CROP_NAMES)))
    box = _CLEVR_REFERENCE
    if height < box.top + box.height or width < box.left + box.width:
        raise UsageError(
            "crop clevr_reference needs images of at least 221x256, these are "
            f"{height}x{width}: "
            "use crop none or centre"
        )
    return box


@dataclass(frozen=True, eq=False)
class Taps:
    """Where each of N output positions samples along one axis.

    Attributes:
        lower: int64, (N,), the neighbour before.
        upper: int64, (N,), the neighbour after; equals lower at the border.
        weight: float32, (N,), of the upper neighbour.
    """

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray


def bilinear_taps(source: int, target: int, resize: str) -> Taps:
    """Returns the sampling points of a bilinear resize from source to target positions.

    Args:
        resize: "tf2", half-pixel centres (tf.image.resize of TensorFlow 2); "tf1", corners of
            pixels (tf.image.resize of the TensorFlow 1.15 namespace).
    """
    _check_resize(resize)
    scale = np.float32(source) / np.float32(target)
    places = np.arange(target, dtype=np.float32)
    if resize == "tf2":
        points = (places + np.float32(0.5)) * scale - np.float32(0.5)
    else:
        points = places * scale
    floors = np.floor(points)
    lower = np.maximum(floors.astype(np.int64), 0)
    upper = np.minimum(np.ceil(points).astype(np.int64), source - 1)
    return Taps(lower, upper, (points - floors).astype(np.float32))


def nearest_positions(source: int, target: int, resize: str) -> np.ndarray:
    """Returns the int64 (target,) source positions of a nearest-neighbour resize."""
    _check_resize(resize)
    scale = np.float32(source) / np.float32(target)
    offset = np.float32(0.5 if resize == "tf2" else 0.0)
    points = np.floor((np.arange(target, dtype=np.float32) + offset) * scale)
    return np.minimum(points.astype(np.int64), source - 1)


def _check_resize(resize: str) -> None:
    if resize not in RESIZE_NAMES:
        raise UsageError(
            "resize {!r} is unknown: use one of {}".format(resize, ", ".join(RESIZE_NAMES))
        )


@dataclass(frozen=True)
class Geometry:
    """From a source image to what the network sees.

    Attributes:
        source: (height, width) of the images in the files.
        crop: one of CROP_NAMES.
        resolution: (height, width) the network sees.
        resize: one of RESIZE_NAMES.
        storage: what is kept of an image between epochs. "exact": the source's own bytes, as many
            as the resize samples, so that batches equal the reference's bit for bit. "rounded":
            the resized image in 8 bits, off by at most half a step (0.004 in [-1, 1]).

    Raises:
        UsageError: an unknown name, a resolution below 1, a crop larger than the image.
    """

    source: Size
    crop: str
    resolution: Size
    resize: str = "tf2"
    storage: str = "exact"

    def __post_init__(self) -> None:
        crop_box(self.crop, self.source)
        _check_resize(self.resize)
        if self.storage not in STORAGE_NAMES:
            raise UsageError(
                "storage {!r} is unknown: use one of {}".format(
                    self.storage, ", ".join(STORAGE_NAMES)
                )
            )
        if min(self.resolution) < 1:
            raise UsageError("resolution {}x{}: at least 1x1 is needed".format(*self.resolution))

    @property
    def box(self) -> CropBox:
        """The crop as a rectangle of the source image."""
        return crop_box(self.crop, self.source)

    @property
    def keeps_size(self) -> bool:
        """Whether the crop has the network's size already, so that nothing is resized."""
        return (self.box.height, self.box.width) == tuple(self.resolution)

    def row_taps(self) -> Taps:
        """The resize's sampling points along the crop's rows."""
        return bilinear_taps(self.box.height, self.resolution[0], self.resize)

    def column_taps(self) -> Taps:
        """The resize's sampling points along the crop's columns."""
        return bilinear_taps(self.box.width, self.resolution[1], self.resize)

    @property
    def keeps_pairs(self) -> bool:
        """Whether only the sampled pixels are stored: the four neighbours of every output pixel.

        The stored image's quarters are the upper left neighbours of all output pixels, the upper
        right ones, the lower left and the lower right. Worth it where the image shrinks by more
        than 2, so that most pixels are never looked at.
        """
        sampled = 4 * self.resolution[0] * self.resolution[1]
        return self.storage == "exact" and sampled < self.box.height * self.box.width

    def stored_rows(self) -> np.ndarray:
        """The int64 source rows that are stored, in order."""
        return self._stored(self.box.top, self.box.height, self.row_taps())

    def stored_columns(self) -> np.ndarray:
        """The int64 source columns that are stored, in order."""
        return self._stored(self.box.left, self.box.width, self.column_taps())

    def _stored(self, first: int, length: int, taps: Taps) -> np.ndarray:
        if self.keeps_pairs:
            return first + np.concatenate([taps.lower, taps.upper])
        return first + np.arange(length)

    @property
    def stored_size(self) -> Size:
        """(height, width) of an image as it is stored."""
        if self.storage == "rounded":
            return self.resolution
        return len(self.stored_rows()), len(self.stored_columns())

    def mask_rows(self) -> np.ndarray:
        """The int64 source rows that the masks are taken from, by nearest neighbour."""
        return self.box.top + nearest_positions(self.box.height, self.resolution[0], self.resize)

    def mask_columns(self) -> np.ndarray:
        """The int64 source columns that the masks are taken from, by nearest neighbour."""
        return self.box.left + nearest_positions(self.box.width, self.resolution[1], self.resize)

    @property
    def text(self) -> str:
        """The geometry in words, for run records."""
        text = "{}x{}, crop {}, {}".format(
            self.source[0],
            self.source[1],
            self.crop,
            "not resized"
            if self.keeps_size
            else f"resized to {self.resolution[0]}x{self.resolution[1]} ({self.resize} bilinear)",
        )
        return text + ("; stored in 8 bits after resizing" if self.storage == "rounded" else "")
