"""The datasets by name, divided into training, validation and test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from common.core.errors import UsageError
from common.data.manifest import manifest_sha256, sha256_of_array
from residual_attention_net.data.cifar10 import load_cifar10
from residual_attention_net.data.embedded import DIGITS_SIZE, load_digits, synthetic_images
from residual_attention_net.data.image_folder import load_image_folder
from residual_attention_net.data.labelled_images import LabelledImages
from residual_attention_net.data.selection import all_but, balanced_indices, stratified_indices

__all__ = [
    "DATASET_NAMES",
    "DatasetSplits",
    "LabelledImages",
    "SourceOptions",
    "load_dataset",
]

# Where a dataset has no test set of its own, this share of it becomes one, for every seed.
_TEST_SHARE = 5
_TEST_SPLIT_SEED = 0
# A tenth of the training images unless a count is given.
_VALIDATION_SHARE = 10
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class SourceOptions:
    """What can be chosen of the datasets that are generated or resized.

    Attributes:
        image_size: pixels of a side, for images, synthetic and synthetic_volumes.
        class_count: for synthetic and synthetic_volumes.
        train_count: training images generated, validation included.
        test_count: test images generated.
    """

    image_size: int = 32
    class_count: int = 10
    train_count: int = 1000
    test_count: int = 200


_DEFAULT_OPTIONS = SourceOptions()


@dataclass(frozen=True, eq=False)
class DatasetSplits:
    """A dataset as a run uses it.

    Attributes:
        name: one of DATASET_NAMES.
        train: what is trained on.
        validation: split from the training images; what choices are made by.
        test: looked at once, at the end.
        predicate: how each of the three was made, in words.
        manifest_sha256: which data it was: over the files' or the arrays' checksums.
    """

    name: str
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    predicate: str
    manifest_sha256: str

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of each split."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
        }


@dataclass(frozen=True, eq=False)
class _Source:
    """A whole dataset before validation images are taken from its training images."""

    train: LabelledImages
    test: LabelledImages
    train_predicate: str
    test_predicate: str
    manifest_sha256: str


def load_dataset(
    name: str,
    data_path: str | None = None,
    validation_count: int | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    seed: int = 0,
    options: SourceOptions = _DEFAULT_OPTIONS,
) -> DatasetSplits:
    """Reads a dataset and divides it; the same arguments always give the same images.

    Args:
        name: one of DATASET_NAMES.
        data_path: the folder of cifar10 or images; the others need none.
        validation_count: images taken from the training images, class shares kept; a tenth
            of them when None.
        limit_train: train on so many only, equally many of each class.
        limit_test: test on so many only, equally many of each class.
        seed: of these choices, 0 to 2**32 - 1.
        options: sizes of the generated and resized datasets.

    Raises:
        UsageError: an unknown name, or a count beyond the data.
        ZooError: data that is missing, damaged or can't be read.
    """
    if name not in _SOURCES:
        raise UsageError(
            "dataset {!r} is unknown: use one of {}".format(name, ", ".join(DATASET_NAMES))
        )
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed {seed} is out of range: use 0 to 2**32 - 1")
    source = _SOURCES[name](data_path, options)
    return _divide(name, source, validation_count, limit_train, limit_test, seed)


def _divide(
    name: str,
    source: _Source,
    validation_count: int | None,
    limit_train: int | None,
    limit_test: int | None,
    seed: int,
) -> DatasetSplits:
    whole = source.train
    if validation_count is None:
        validation_count = len(whole) // _VALIDATION_SHARE
    _check_count("validation images", validation_count, 0, len(whole) - 1)
    held_out = stratified_indices(whole.labels, validation_count, seed)
    # Validation is chosen before the limit, so that it is the same whatever the limit.
    remaining = all_but(len(whole), held_out)
    train = _limited(whole, remaining, "training", limit_train, seed)
    test = _limited(source.test, all_but(len(source.test), _NONE), "test", limit_test, seed)
    predicate = "; ".join(
        (
            f"train: {source.train_predicate}, less the validation images"
            + _limit_in_words(limit_train, seed),
            f"validation: {validation_count} of them, stratified by class, seed {seed}",
            f"test: {source.test_predicate}" + _limit_in_words(limit_test, seed),
        )
    )
    return DatasetSplits(
        name, train, whole.select(held_out), test, predicate, source.manifest_sha256
    )


def _limited(
    images: LabelledImages, candidates: np.ndarray, kind: str, limit: int | None, seed: int
) -> LabelledImages:
    """The candidates (indices), or `limit` of them with equally many of each class."""
    if limit is not None:
        _check_count(f"{kind} images", limit, 1, len(candidates))
        candidates = candidates[balanced_indices(images.labels[candidates], limit, seed)]
    return images if len(candidates) == len(images) else images.select(candidates)


def _limit_in_words(limit: int | None, seed: int) -> str:
    if limit is None:
        return ""
    return f", limited to {limit} balanced over the classes, seed {seed}"


def _check_count(what: str, count: int, smallest: int, largest: int) -> None:
    if not smallest <= count <= largest:
        raise UsageError(f"{count} {what} asked for: the data allows {smallest} to {largest}")


def _cifar10(data_path: str | None, options: SourceOptions) -> _Source:
    _check_fixed_size("cifar10", options)
    read = load_cifar10(data_path)
    return _Source(
        read.train,
        read.test,
        "data_batch_1 to data_batch_5",
        "the whole test_batch",
        read.manifest_sha256,
    )


def _digits(_data_path: str | None, options: SourceOptions) -> _Source:
    _check_fixed_size("digits", options)
    whole = load_digits()
    return _with_test_split(whole, "scikit-learn's digits", _array_manifest(digits=whole))


def _images(data_path: str | None, options: SourceOptions) -> _Source:
    read = load_image_folder(data_path, options.image_size)
    form = f" at {options.image_size}x{options.image_size}"
    if read.test is None:
        return _with_test_split(read.train, "all class folders" + form, read.manifest_sha256)
    return _Source(
        read.train,
        read.test,
        "the folder train" + form + "".join(f", {name} not looked at" for name in read.ignored),
        "the whole folder test" + form,
        read.manifest_sha256,
    )


def _synthetic(_data_path: str | None, options: SourceOptions) -> _Source:
    return _generated(options, 2)


def _synthetic_volumes(_data_path: str | None, options: SourceOptions) -> _Source:
    return _generated(options, 3)


def _generated(options: SourceOptions, spatial_dims: int) -> _Source:
    shape = (options.image_size,) * spatial_dims
    train, test = synthetic_images(
        options.class_count, options.train_count, options.test_count, shape
    )
    form = "{} generated {} images of " + "x".join(str(length) for length in shape)
    return _Source(
        train,
        test,
        form.format(len(train), "training"),
        form.format(len(test), "test"),
        _array_manifest(train=train, test=test),
    )


def _with_test_split(whole: LabelledImages, origin: str, manifest: str) -> _Source:
    test = stratified_indices(whole.labels, len(whole) // _TEST_SHARE, _TEST_SPLIT_SEED)
    return _Source(
        whole.select(all_but(len(whole), test)),
        whole.select(test),
        f"{origin} without the test images",
        f"{len(test)} of the {len(whole)}, stratified by class, the same for every seed",
        manifest,
    )


def _array_manifest(**parts: LabelledImages) -> str:
    sums = {}
    for name, part in parts.items():
        sums[name + ".images"] = sha256_of_array(part.images)
        sums[name + ".labels"] = sha256_of_array(part.labels)
    return manifest_sha256(sums)


def _check_fixed_size(name: str, options: SourceOptions) -> None:
    if options.image_size != DIGITS_SIZE:
        raise UsageError(
            f"{name} images are {DIGITS_SIZE}x{DIGITS_SIZE}, not {options.image_size}: "
            "use a network for that size, or dataset images"
        )


_SOURCES: dict[str, Callable[[str | None, SourceOptions], _Source]] = {
    "cifar10": _cifar10,
    "digits": _digits,
    "images": _images,
    "synthetic": _synthetic,
    "synthetic_volumes": _synthetic_volumes,
}

DATASET_NAMES = tuple(_SOURCES)
