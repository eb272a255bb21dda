"""What the tests of synthetic scenes share."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(*arrays: np.ndarray) -> str:
    """The first digits of the sha256 of arrays' bytes."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:16]


def every_pixel_in_one_mask(masks: np.ndarray) -> bool:
    """Whether masks (N, H, W) divide the picture."""
    return bool((masks.sum(axis=0) == 1).all())
