"""Images with their class labels, held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from common.datasets.manifest import manifest_sha256, sha256_of_array
from common.errors import ZooError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with one class label each.

    Attributes:
        images: uint8, (N, H, W, C); C is 1 or 3.
        labels: int32, (N,).

    Raises:
        ZooError: when shapes or types don't fit together.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ZooError(
                "images are {} of shape {}: uint8 of shape (N, H, W, C) with C 1 or 3 is "
                "needed".format(images.dtype, images.shape))
        if labels.dtype != np.int32 or labels.ndim != 1:
            raise ZooError("labels are {} of shape {}: int32 of shape (N,) is needed".format(
                labels.dtype, labels.shape))
        if len(labels) != len(images):
            raise ZooError("{} images with {} labels: as many of both are needed".format(
                len(images), len(labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> LabelledImages:
        """The images at these indices (integers, (M,)), in their order."""
        return LabelledImages(self.images[indices], self.labels[indices])

    def sha256(self) -> str:
        """Names these very images, labels and their order, in hexadecimal."""
        return manifest_sha256({"images": sha256_of_array(self.images),
                                "labels": sha256_of_array(self.labels)})


def check_labels(labels: np.ndarray, class_names: Sequence[str], where: str) -> None:
    """Raises ZooError where a label is none of the classes; `where` names the images."""
    outside = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(outside):
        raise ZooError(
            "{}: label {} of image {} is out of range: {} classes allow 0 to {}; correct the "
            "labels or --num_classes".format(
                where, labels[outside[0]], outside[0], len(class_names), len(class_names) - 1))
