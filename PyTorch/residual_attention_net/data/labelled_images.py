"""Images or volumes with their class labels, held in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.core.errors import ZooError

MAXIMUM_CHANNELS = 4


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with one class label each.

    Attributes:
        images: uint8, (N, H, W, C), or volumes (N, D, H, W, C); C from 1 to 4.
        labels: int64, (N,), each from 0 to len(classes) - 1.
        classes: the name of every class.

    Raises:
        ZooError: when shapes, types or label range don't fit together.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        shape, dtype = self.images.shape, self.images.dtype
        if dtype != np.uint8 or self.images.ndim not in (4, 5):
            raise ZooError(
                f"images are {dtype} of shape {shape}: uint8 of shape (N, H, W, C) or "
                "(N, D, H, W, C) is needed"
            )
        if not 1 <= self.channels <= MAXIMUM_CHANNELS:
            raise ZooError(
                f"images have {self.channels} channels: 1 to {MAXIMUM_CHANNELS} are supported"
            )
        self._check_labels()

    def _check_labels(self) -> None:
        shape, dtype, count = self.labels.shape, self.labels.dtype, len(self.images)
        if dtype != np.int64 or shape != (count,):
            raise ZooError(
                f"labels are {dtype} of shape {shape} for {count} images: int64 of shape "
                f"({count},) is needed"
            )
        outside = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if len(outside):
            raise ZooError(
                f"label {self.labels[outside[0]]} of image {outside[0]} is out of range: "
                f"{len(self.classes)} classes allow 0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """(H, W), or (D, H, W) for volumes."""
        return tuple(self.images.shape[1:-1])

    @property
    def channels(self) -> int:
        """The number of channels of a pixel."""
        return int(self.images.shape[-1])

    def select(self, indices: np.ndarray) -> LabelledImages:
        """The images at these indices (int64, (M,)), in their order."""
        return LabelledImages(self.images[indices], self.labels[indices], self.classes)
