"""The preprocessing of images in numpy, for what is stored and to check the graph's by."""

from __future__ import annotations

import numpy as np

from slot_attention.data.geometry import Geometry


def preprocess_array(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Returns float32 (height, width, channels) in [-1, 1] of a uint8 source image.

    Equal to preprocess.preprocess_images to the last bit or the one before.
    """
    box = geometry.box
    pixels = image[box.top : box.top + box.height, box.left : box.left + box.width]
    scaled = (pixels.astype(np.float32) / np.float32(255) - np.float32(0.5)) * np.float32(2)
    if geometry.keeps_size:
        return scaled
    rows, columns = geometry.row_taps(), geometry.column_taps()
    weight = columns.weight.reshape(1, -1, 1)
    left, right = scaled[:, columns.lower], scaled[:, columns.upper]
    wide = left + (right - left) * weight
    top, bottom = wide[rows.lower], wide[rows.upper]
    blended = top + (bottom - top) * rows.weight.reshape(-1, 1, 1)
    return np.clip(blended, -1, 1)


def resize_to_bytes(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Returns uint8 (height, width, channels): the preprocessed image in 8 bits."""
    images = preprocess_array(image, geometry)
    return np.rint((images * np.float32(0.5) + np.float32(0.5)) * np.float32(255)).astype(np.uint8)


class PairBlender:
    """Finishes images that are stored as the neighbours of every output pixel.

    An image at a time and in place, so that it stays in the processor's cache: several times as
    fast as the same steps on a batch in the graph. The factor 2 of the scaling comes last, which
    changes no bit. Not for use by two threads at once.

    Args:
        geometry: one that keeps_pairs.
        channels: of the images.
    """

    def __init__(self, geometry: Geometry, channels: int) -> None:
        height, width = geometry.resolution
        self._height, self._row = height, width * channels
        self._columns = np.repeat(geometry.column_taps().weight, channels)
        self._rows = geometry.row_taps().weight.reshape(-1, 1)
        self._halves = np.empty((2 * height, 2 * self._row), np.float32)

    def blend(self, stored: np.ndarray, image: np.ndarray) -> None:
        """Writes the finished image of a stored one.

        Args:
            stored: uint8, (*geometry.stored_size, channels).
            image: float32, (height, width, channels), contiguous; written.
        """
        halves = self._halves
        halves[...] = stored.reshape(halves.shape)
        halves /= np.float32(255)
        halves -= np.float32(0.5)
        wide = _blend(halves[:, : self._row], halves[:, self._row :], self._columns)
        blended = _blend(wide[: self._height], wide[self._height :], self._rows)
        flat = image.reshape(self._height, self._row)
        np.multiply(blended, np.float32(2), out=flat)
        np.clip(flat, -1, 1, out=flat)


def blend_pairs(pixels: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Returns float32 (B, height, width, channels) in [-1, 1] of images stored as neighbours.

    Args:
        pixels: uint8, (B, *geometry.stored_size, channels): see Geometry.keeps_pairs.
    """
    blender = PairBlender(geometry, pixels.shape[-1])
    images = np.empty((len(pixels),) + tuple(geometry.resolution) + pixels.shape[-1:], np.float32)
    for stored, image in zip(pixels, images):
        blender.blend(stored, image)
    return images


def _blend(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Linear interpolation; overwrites second."""
    second -= first
    second *= weight
    second += first
    return second
