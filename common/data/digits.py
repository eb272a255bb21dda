"""The handwritten digits that come with scikit-learn (UCI optical recognition)."""

from __future__ import annotations

import numpy as np

from common.core.errors import ZooError
from common.data.arrays import resize_bilinear
from common.data.labelled_images import LabelledImages, Source

STORED_MAXIMUM = 16


def read_digits(size: int, channels: int) -> Source:
    """1,797 digits, enlarged from 8x8 to size x size in whole numbers, without a test set.

    Args:
        size: pixels of a side.
        channels: 1, or 3: the grey repeated.

    Raises:
        ZooError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ZooError(
            f"digits come with scikit-learn, which can't be imported ({error}): "
            "pip install scikit-learn"
        ) from None
    stored = load_digits()
    values = stored.images.astype(np.int64)  # (N, 8, 8), from 0 (paper) to 16 (ink)
    grey = resize_bilinear(values, size, size, STORED_MAXIMUM)[..., np.newaxis]
    images = LabelledImages(np.repeat(grey, channels, axis=-1), stored.target.astype(np.int64))
    names = tuple(str(name) for name in stored.target_names)
    return Source(images, None, names, "scikit-learn's digits")
