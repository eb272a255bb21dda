"""Images with their class labels, held in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from common.core.errors import ZooError
from common.data.manifest import manifest_sha256, sha256_of_array


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with one class label each.

    Attributes:
        images: uint8, (N, H, W, C); C is 1 or 3.
        labels: int32, (N,).
        names: N texts that say which image of the data each is, a file or a row; None: unknown.

    Raises:
        ZooError: when shapes or types don't fit together.
    """

    images: np.ndarray
    labels: np.ndarray
    names: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ZooError(
                f"images are {images.dtype} of shape {images.shape}: uint8 of shape (N, "
                "H, W, C) with C 1 or 3 is "
                "needed"
            )
        if labels.dtype != np.int32 or labels.ndim != 1:
            raise ZooError(
                f"labels are {labels.dtype} of shape {labels.shape}: int32 of shape (N,) is needed"
            )
        if len(labels) != len(images):
            raise ZooError(
                f"{len(images)} images with {len(labels)} labels: as many of both are needed"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> LabelledImages:
        """The images at these indices (integers, (M,)), in their order."""
        names = None if self.names is None else self.names[indices]
        return LabelledImages(self.images[indices], self.labels[indices], names)

    def named(self, split: str) -> LabelledImages:
        """The same images, named by their rows (from 0) where they have no names yet."""
        if self.names is not None:
            return self
        names = np.array([f"{split} row {row}" for row in range(len(self))])
        return LabelledImages(self.images, self.labels, names)

    def sha256(self) -> str:
        """Names these very images, labels and their order, in hexadecimal."""
        return manifest_sha256(
            {"images": sha256_of_array(self.images), "labels": sha256_of_array(self.labels)}
        )


def name_of_file(path: Path) -> str:
    """A file's name as text that can be written anywhere; what is no UTF-8 becomes a sign."""
    return os.fsencode(str(path)).decode("utf-8", "replace")


def check_labels(labels: np.ndarray, class_names: Sequence[str], where: str) -> None:
    """Raises ZooError where a label is none of the classes; `where` names the images."""
    outside = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(outside):
        raise ZooError(
            f"{where}: label {labels[outside[0]]} of image {outside[0]} is out of range: "
            f"{len(class_names)} classes allow 0 to {len(class_names) - 1}; correct the "
            "labels or --num_classes"
        )
