"""Values of images and masks as bytes."""

from __future__ import annotations

import numpy as np


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as uint8; what lies outside, as reconstructions may, is clipped."""
    return to_bytes((np.asarray(images, np.float32) + 1) / 2)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as uint8; what lies outside is clipped, nan is black."""
    return np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
