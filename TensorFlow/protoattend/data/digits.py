"""Real handwritten digits that need no download."""

from __future__ import annotations

import numpy as np

from common.data.digits import STORED_MAXIMUM, load_stored_digits
from common.data.resize import resize_bilinear
from protoattend.data.labelled_images import LabelledImages
from protoattend.data.source import Source

DEFAULT_SIZE = 28


def load_digits(size: int = DEFAULT_SIZE) -> Source:
    """scikit-learn's 1,797 handwritten digits, enlarged from 8x8 to size x size, grey.

    Raises:
        ZooError: scikit-learn is not installed.
    """
    stored = load_stored_digits()
    images = resize_bilinear(stored.values, size, size, STORED_MAXIMUM)[..., np.newaxis]
    return Source(
        LabelledImages(images, stored.labels.astype(np.int32)),
        None,
        stored.class_names,
        "scikit-learn's digits",
    )
