"""The handwritten digits that come with scikit-learn (UCI optical recognition)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from common.core.errors import ZooError

STORED_MAXIMUM = 16


@dataclass(frozen=True, eq=False)
class StoredDigits:
    """1,797 digits as they are stored.

    Attributes:
        values: int64, (N, 8, 8), from 0 (paper) to STORED_MAXIMUM (ink).
        labels: int64, (N,), from 0 to 9.
        class_names: "0" to "9".
    """

    values: np.ndarray
    labels: np.ndarray
    class_names: Tuple[str, ...]


def load_stored_digits() -> StoredDigits:
    """Reads the digits out of the installed scikit-learn.

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
    digits = load_digits()
    names = tuple(str(name) for name in digits.target_names)
    return StoredDigits(digits.images.astype(np.int64), digits.target.astype(np.int64), names)
