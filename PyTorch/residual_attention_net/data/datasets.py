"""The datasets by name, divided into training, validation and test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

import attrs
import numpy as np

from common.core.errors import UsageError
from common.data import dataset_name
from common.data.arrays import manifest_sha256, sha256_of_array
from common.data.cifar10 import read_cifar10
from common.data.digits import read_digits
from common.data.image_files import read_class_folders
from common.data.labelled_images import (
    DatasetSplits,
    LabelledImages,
    Source,
    balanced_indices,
    check_count,
    split_off,
)

# Where a dataset has no test set of its own, this share of it becomes one, for every seed.
_TEST_SHARE = 5
_TEST_SPLIT_SEED = 0
# A tenth of the training images unless a count is given.
_VALIDATION_SHARE = 10
DIGITS_SIZE, DIGITS_CHANNELS = 32, 3
# Of the generated data: fixed, so that it is the same whatever the seed of a run.
_PATTERN_SEED = 20170423
_PATTERN_CELLS = 4
_PATTERN_RANGE = 160
_NOISE_RANGE = 64
_BRIGHTNESS_RANGE = 32


@dataclass(frozen=True)
class SourceOptions:
    """What can be chosen of the datasets that are generated or resized.

    Attributes:
        image_size: pixels of a side, for image_folder, synthetic and synthetic_volumes.
        class_count: for synthetic and synthetic_volumes.
        train_count: training images generated, validation included.
        test_count: test images generated.
    """

    image_size: int = 32
    class_count: int = 10
    train_count: int = 1000
    test_count: int = 200


_DEFAULT_OPTIONS = SourceOptions()


def load_dataset(
    name: str,
    data_path: Optional[str] = None,
    validation_count: Optional[int] = None,
    limit_train: Optional[int] = None,
    limit_test: Optional[int] = None,
    seed: int = 0,
    options: SourceOptions = _DEFAULT_OPTIONS,
) -> DatasetSplits:
    """Reads a dataset and divides it; the same arguments always give the same images.

    Args:
        name: one of DATASET_NAMES.
        data_path: the folder of cifar10 or image_folder; the others need none.
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
    name = dataset_name(name)
    if name not in _SOURCES:
        raise UsageError(
            "dataset {!r} is unknown: use one of {}".format(name, ", ".join(DATASET_NAMES))
        )
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed {seed} is out of range: use 0 to 2**32 - 1")
    source = _SOURCES[name](data_path, options)
    source = source.changed(
        lambda images: LabelledImages(images.images, images.labels, source.classes, images.names)
    )
    manifest = source.manifest_sha256 or _array_manifest(name, source)
    whole, test = source.train, source.test
    train_text, test_text = source.train_text, source.test_text
    if test is None:
        whole, test = split_off(whole, len(whole) // _TEST_SHARE, _TEST_SPLIT_SEED, by_class=True)
        count = len(whole) + len(test)
        train_text += " without the test images"
        test_text = f"{len(test)} of the {count}, stratified by class, the same for every seed"
    count = len(whole) // _VALIDATION_SHARE if validation_count is None else validation_count
    check_count("images for --validation_count", count, 0, len(whole) - 1)
    # Validation is chosen before the limit, so that it is the same whatever the limit.
    rest, validation = split_off(whole, count, seed, by_class=True)
    predicate = (
        f"train: {train_text}, less the validation images" + _limit_in_words(limit_train, seed),
        f"validation: {count} of them, stratified by class, seed {seed}",
        f"test: {test_text}" + _limit_in_words(limit_test, seed),
    )
    return DatasetSplits(
        name,
        _limited(rest, "--limit_train", limit_train, seed),
        validation,
        _limited(test, "--limit_test", limit_test, seed),
        "; ".join(predicate),
        manifest,
        source.notices,
    )


def _limited(images: LabelledImages, flag: str, limit: Optional[int], seed: int) -> LabelledImages:
    """The images, or `limit` of them with equally many of each class."""
    if limit is None:
        return images
    check_count(f"images for {flag}", limit, 1, len(images))
    return images.take(balanced_indices(images.labels, limit, seed))


def _limit_in_words(limit: Optional[int], seed: int) -> str:
    return "" if limit is None else f", limited to {limit} balanced over the classes, seed {seed}"


def _array_manifest(name: str, source: Source) -> str:
    """Over the arrays of data that no file holds."""
    parts = {name: source.train}
    if source.test is not None:
        parts = {"train": source.train, "test": source.test}
    return manifest_sha256(
        {
            f"{part}.{field}": sha256_of_array(getattr(images, field))
            for part, images in parts.items()
            for field in ("images", "labels")
        }
    )


def _cifar10(data_path: Optional[str], options: SourceOptions) -> Source:
    return attrs.evolve(read_cifar10(data_path), test_text="the whole test_batch")


def _digits(_data_path: Optional[str], options: SourceOptions) -> Source:
    return read_digits(DIGITS_SIZE, DIGITS_CHANNELS)


def _image_folder(data_path: Optional[str], options: SourceOptions) -> Source:
    if options.image_size < 1:
        raise UsageError(f"image size {options.image_size}: at least 1 is needed")
    form = f" at {options.image_size}x{options.image_size}"
    source = read_class_folders(data_path, options.image_size, channels=3)
    return attrs.evolve(
        source, train_text=source.train_text + form, test_text="the whole folder test" + form
    )


def _synthetic(_data_path: Optional[str], options: SourceOptions) -> Source:
    return synthetic_images(options, 2)


def _synthetic_volumes(_data_path: Optional[str], options: SourceOptions) -> Source:
    return synthetic_images(options, 3)


_SOURCES: Dict[str, Callable[[Optional[str], SourceOptions], Source]] = {
    "cifar10": _cifar10,
    "digits": _digits,
    "image_folder": _image_folder,
    "synthetic": _synthetic,
    "synthetic_volumes": _synthetic_volumes,
}
DATASET_NAMES = tuple(_SOURCES)


# --- generated data --------------------------------------------------------------------------


def synthetic_images(options: SourceOptions, spatial_dims: int) -> Source:
    """Generated training and test images that a network can learn to tell apart.

    Every class is a coarse colour pattern of 4 cells a side; every image of it has its own
    brightness and noise. Classes are equally frequent. The same arguments give the same bytes.

    Args:
        options: counts and the size of a side.
        spatial_dims: 2, or 3 for volumes.

    Raises:
        UsageError: a count or a size out of range.
    """
    shape = (options.image_size,) * spatial_dims
    counts = {"training": options.train_count, "test": options.test_count}
    if options.class_count < 2 or min(counts.values()) < 1 or options.image_size < 1:
        raise UsageError(
            f"synthetic data of {options.class_count} classes, {options.train_count} training and "
            f"{options.test_count} test images of {shape}: at least 2 classes, 1 image and 1 pixel "
            "are needed"
        )
    patterns = _class_patterns(options.class_count, shape)
    train, test = (
        _noisy_images(patterns, count, np.random.RandomState([_PATTERN_SEED, stream]))
        for stream, count in enumerate(counts.values(), start=1)
    )
    size = "x".join(str(length) for length in shape)
    texts = [f"{count} generated {part} images of {size}" for part, count in counts.items()]
    names = tuple(f"pattern {number}" for number in range(options.class_count))
    return Source(train, test, names, *texts)


def _class_patterns(class_count: int, spatial_shape: Tuple[int, ...]) -> np.ndarray:
    """int64, (classes, *spatial_shape, 3), from 0 to _PATTERN_RANGE - 1."""
    generator = np.random.RandomState([_PATTERN_SEED, 0])
    shape = (class_count,) + (_PATTERN_CELLS,) * len(spatial_shape) + (3,)
    patterns = generator.randint(0, _PATTERN_RANGE, shape, dtype=np.int64)
    for axis, length in enumerate(spatial_shape, start=1):
        cells = np.arange(length) * _PATTERN_CELLS // length
        patterns = np.take(patterns, cells, axis=axis)
    return patterns


def _noisy_images(
    patterns: np.ndarray, count: int, generator: np.random.RandomState
) -> LabelledImages:
    labels = generator.permutation(np.arange(count, dtype=np.int64) % len(patterns))
    per_image = (count,) + (1,) * (patterns.ndim - 1)
    brightness = generator.randint(0, _BRIGHTNESS_RANGE, per_image, dtype=np.int64)
    images = np.empty((count,) + patterns.shape[1:], np.uint8)
    for index, label in enumerate(labels):
        noise = generator.randint(0, _NOISE_RANGE, patterns.shape[1:], dtype=np.int64)
        images[index] = patterns[label] + brightness[index] + noise
    return LabelledImages(images, labels.astype(np.int64))
