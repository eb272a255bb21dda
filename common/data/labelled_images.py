"""Labelled images in memory, what a reader hands over, and how it is divided.

The same seed chooses the same images everywhere: numpy's RandomState is used, whose streams are
frozen over numpy's versions.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

import attrs
import numpy as np

from common.core.errors import UsageError, ZooError
from common.data.arrays import manifest_sha256, resize_bilinear, sha256_of_array

MAXIMUM_CHANNELS = 4


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images or volumes with one class label each.

    Attributes:
        images: uint8, (N, H, W, C), or volumes (N, D, H, W, C); C from 1 to 4.
        labels: integers, (N,).
        classes: the name of every class; empty: the labels are not compared with any.
        names: N texts that say which image of the data each is, a file or a row; None: unknown.

    Raises:
        ZooError: when shapes, types or label range don't fit together.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: Tuple[str, ...] = ()
    names: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        images: Any = self.images
        labels: Any = self.labels
        if images.dtype != np.uint8 or images.ndim not in (4, 5):
            raise ZooError(
                f"images are {images.dtype} of shape {images.shape}: uint8 of shape (N, H, W, C) "
                "or (N, D, H, W, C) is needed"
            )
        if not 1 <= self.channels <= MAXIMUM_CHANNELS:
            raise ZooError(
                f"images have {self.channels} channels: 1 to {MAXIMUM_CHANNELS} are supported"
            )
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise ZooError(
                f"labels are {labels.dtype} of shape {labels.shape}: whole numbers of shape (N,) "
                "are needed"
            )
        if len(labels) != len(images):
            raise ZooError(
                f"{len(images)} images with {len(labels)} labels: as many of both are needed"
            )
        count = len(self.classes)
        outside: Any = np.flatnonzero((labels < 0) | (labels >= count)) if count else ()
        if len(outside):
            raise ZooError(
                f"label {labels[outside[0]]} of image {outside[0]} is out of range: "
                f"{count} classes allow 0 to {count - 1}; correct the labels or --num_classes"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def spatial_shape(self) -> Tuple[int, ...]:
        """(H, W), or (D, H, W) for volumes."""
        return tuple(self.images.shape[1:-1])

    @property
    def channels(self) -> int:
        """The number of channels of a pixel."""
        return int(self.images.shape[-1])

    def take(self, indices: np.ndarray) -> LabelledImages:
        """The images at these indices (integers, (M,)), in their order."""
        names = None if self.names is None else self.names[indices]
        images, labels = self.images[indices], self.labels[indices]
        return dataclasses.replace(self, images=images, labels=labels, names=names)

    def named(self, split: str) -> LabelledImages:
        """The same images, named by their rows (from 0) where they have no names yet."""
        if self.names is not None:
            return self
        names = np.array([f"{split} row {row}" for row in range(len(self))])
        return dataclasses.replace(self, names=names)

    def resized(self, size: int) -> LabelledImages:
        """Every image as size x size; one that is no square is squeezed."""
        if self.spatial_shape == (size, size):
            return self
        return dataclasses.replace(self, images=resize_bilinear(self.images, size, size))

    def sha256(self) -> str:
        """Names these very images, labels and their order, in hexadecimal."""
        return manifest_sha256(
            {"images": sha256_of_array(self.images), "labels": sha256_of_array(self.labels)}
        )


@attrs.frozen(eq=False)
class Source:
    """A whole dataset, before validation images are taken from its training images.

    Attributes:
        train: the images to train on; all images where there is no test set.
        test: None where the dataset has no test set of its own.
        classes: the name of every class, in the order of the labels.
        train_text: where the training images come from, in words.
        test_text: where the test images come from; "" without any.
        manifest_sha256: over the checksums of the files; "" of data without files.
        notices: what the user should be told, a line each.
    """

    train: LabelledImages
    test: Optional[LabelledImages]
    classes: Tuple[str, ...]
    train_text: str
    test_text: str = ""
    manifest_sha256: str = ""
    notices: Tuple[str, ...] = ()

    def changed(self, change: Callable[[LabelledImages], LabelledImages]) -> Source:
        """The same source with changed images."""
        test = None if self.test is None else change(self.test)
        return attrs.evolve(self, train=change(self.train), test=test)


@attrs.frozen(eq=False)
class DatasetSplits:
    """A dataset as a run uses it.

    Attributes:
        name: the dataset's.
        train: what is trained on.
        validation: what choices are made by.
        test: looked at once, at the end.
        predicate: how each of the three was made, in words.
        manifest_sha256: which data it was, and for ProtoAttend which split.
        notices: what the user should be told about the data, a line each.
    """

    name: str
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    predicate: str
    manifest_sha256: str
    notices: Tuple[str, ...] = ()

    @property
    def class_names(self) -> Tuple[str, ...]:
        """One for every class, in the order of the labels."""
        return self.train.classes

    @property
    def image_shape(self) -> Tuple[int, ...]:
        """(H, W, C) of every image, (D, H, W, C) of volumes."""
        return tuple(self.train.images.shape[1:])

    @property
    def counts(self) -> Dict[str, int]:
        """The number of images of each split."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: len(images) for name, images in splits.items()}


def numbered_names(count: int) -> Tuple[str, ...]:
    """The names of classes that have none: their numbers."""
    return tuple(str(number) for number in range(count))


# --- division --------------------------------------------------------------------------------


def split_off(
    whole: LabelledImages, count: int, seed: int, by_class: bool
) -> Tuple[LabelledImages, LabelledImages]:
    """The others and `count` chosen ones, each in the order of the data.

    Args:
        count: 0 to len(whole).
        seed: 0 to 2**32 - 1.
        by_class: the chosen ones have the class shares of the whole; else chance decides.
    """
    if by_class:
        chosen = stratified_indices(whole.labels, count, seed)
    else:
        chosen = np.sort(np.random.RandomState(seed).permutation(len(whole))[:count])
    others = np.ones(len(whole), bool)
    others[chosen] = False
    return whole.take(np.flatnonzero(others)), whole.take(chosen)


def check_count(what: str, count: int, smallest: int, largest: int) -> None:
    """Raises UsageError unless the data allows so many; `what` ends with the flag's name."""
    if not smallest <= count <= largest:
        raise UsageError(
            f"{count} {what}: the data allows {smallest} to {largest}; give more data or another "
            "number"
        )


def stratified_indices(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices whose class shares are those of `labels`, as near as whole images allow.

    Args:
        labels: integers, (N,).
        count: 0 to N.
        seed: 0 to 2**32 - 1.

    Returns:
        int64, (count,), ascending.
    """
    # The method of the largest remainder, in integers so that no rounding can differ.
    sizes = np.bincount(labels)
    quotas, remainders = np.divmod(sizes * count, max(int(sizes.sum()), 1))
    largest_first = np.argsort(-remainders, kind="stable")
    quotas[largest_first[: count - int(quotas.sum())]] += 1
    return _choose(labels, quotas, seed)


def balanced_indices(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices with equally many of every class; what small classes lack, larger ones give.

    Arguments and result are those of `stratified_indices`.
    """
    sizes = np.bincount(labels)
    quotas = np.zeros_like(sizes)
    for place, label in enumerate(np.argsort(sizes, kind="stable")):
        fair_share = (count - int(quotas.sum())) // (len(sizes) - place)
        quotas[label] = min(int(sizes[label]), fair_share)
    return _choose(labels, quotas, seed)


def _choose(labels: np.ndarray, quotas: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.RandomState(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in enumerate(quotas)
    ]
    return np.sort(np.concatenate(chosen + [np.zeros(0, np.int64)])).astype(np.int64)
