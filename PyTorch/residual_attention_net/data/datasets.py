"""The datasets by name, divided into training, validation and test images."""

from __future__ import annotations

import dataclasses
import os
from typing import Callable, Dict, Optional, Tuple

import attrs
import numpy as np

from common.core.errors import UsageError
from common.data import IMAGE_FOLDER, dataset_name
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
from common.machine.ranks import find_place, under_slurm
from residual_attention_net.network.networks import NETWORKS
from residual_attention_net.options import DATASETS, Options

# Where a dataset has no test set of its own, this share of it becomes one.
_TEST_SHARE = 5
# A tenth of the training images unless a count is given.
_VALIDATION_SHARE = 10
SPLIT_SEED = 0  # which images are held out is no matter of the run's seed
DIGITS_SIZE, DIGITS_CHANNELS = 32, 3
GENERATED = (1000, 200)  # training images, validation included, and test images
# Of the generated data: fixed, so that it is the same whatever the seed of a run.
_PATTERN_SEED = 20170423
_PATTERN_CLASSES = 10
_PATTERN_CELLS = 4
_PATTERN_RANGE = 160
_NOISE_RANGE = 64
_BRIGHTNESS_RANGE = 32


def load_dataset(
    name: str,
    data_path: Optional[str] = None,
    image_size: int = 32,
    validation_count: Optional[int] = None,
    limit_train: Optional[int] = None,
    limit_test: Optional[int] = None,
    generated: Tuple[int, int] = GENERATED,
) -> DatasetSplits:
    """Reads a dataset and divides it; the same arguments always give the same images.

    Args:
        name: one of DATASETS.
        data_path: the folder of cifar10 or image_folder; the others need none.
        image_size: pixels of a side, for image_folder and generated images.
        validation_count: images taken from the training images, class shares kept; a tenth
            of them when None.
        limit_train: train on so many only, equally many of each class.
        limit_test: test on so many only, equally many of each class.
        generated: how many training and test images are generated.

    Raises:
        UsageError: an unknown name, or a count beyond the data.
        ZooError: data that is missing, damaged or can't be read.
    """
    name = dataset_name(name)
    if name not in _SOURCES:
        raise UsageError(f"dataset {name!r} is unknown: use one of {', '.join(DATASETS)}")
    source = _SOURCES[name](data_path, image_size, generated)
    source = source.changed(lambda images: dataclasses.replace(images, classes=source.classes))
    manifest = source.manifest_sha256 or _array_manifest(name, source)
    whole, test = source.train, source.test
    train_text, test_text = source.train_text, source.test_text
    if test is None:
        whole, test = split_off(whole, len(whole) // _TEST_SHARE, SPLIT_SEED, by_class=True)
        count = len(whole) + len(test)
        train_text += " without the test images"
        test_text = f"{len(test)} of the {count}, stratified by class, the same for every seed"
    count = len(whole) // _VALIDATION_SHARE if validation_count is None else validation_count
    check_count("images for --validation_count", count, 0, len(whole) - 1)
    # Validation is chosen before the limit, so that it is the same whatever the limit.
    rest, validation = split_off(whole, count, SPLIT_SEED, by_class=True)
    train, train_limit = _limited(rest, "--limit_train", limit_train)
    test, test_limit = _limited(test, "--limit_test", limit_test)
    predicate = (
        f"train: {train_text}, less the validation images{train_limit}",
        f"validation: {count} of them, stratified by class, seed {SPLIT_SEED}",
        f"test: {test_text}{test_limit}",
    )
    return DatasetSplits(
        name, train, validation, test, "; ".join(predicate), manifest, source.notices
    )


def dataset_of(options: Options) -> DatasetSplits:
    """The dataset that a run's flags say, before a framework starts.

    Raises:
        UsageError: too few images for a batch of the whole job; a network for other images.
        ZooError: data that is missing, damaged or can't be read.
    """
    size = NETWORKS[str(options.network)].input_size
    splits = load_dataset(
        options.dataset,
        options.data_path,
        size,
        options.validation_count,
        options.limit_train,
        options.limit_test,
    )
    wanted, found = (size,) * options.spatial_dims, splits.train.spatial_shape
    if found != wanted:
        raise UsageError(
            f"--network {options.network} takes {' x '.join(map(str, wanted))}, {splits.name} has "
            f"{' x '.join(map(str, found))}; choose another network"
        )
    classes = len(splits.class_names)
    if options.num_classes is not None and options.num_classes < classes:
        raise UsageError(
            f"--num_classes {options.num_classes} is less than the {classes} classes of "
            f"{splits.name}"
        )
    environment = {**os.environ, **under_slurm(os.environ)}
    ranks = find_place(environment, options.device_id, options.device_num).world_size
    batch, images = options.train_batch_size, len(splits.train)
    if options.is_train and batch * ranks > images:
        raise UsageError(
            f"--train_batch_size {batch} on {ranks} rank(s) is larger than the {images} training "
            f"images: give at most {max(images // ranks, 1)}, or more images"
        )
    return splits


def _limited(images: LabelledImages, flag: str, limit: Optional[int]) -> Tuple[LabelledImages, str]:
    """The images, or `limit` of them with equally many of each class, and that in words."""
    if limit is None:
        return images, ""
    check_count(f"images for {flag}", limit, 1, len(images))
    chosen = images.take(balanced_indices(images.labels, limit, SPLIT_SEED))
    return chosen, f", limited to {limit} balanced over the classes, seed {SPLIT_SEED}"


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


Counts = Tuple[int, int]


def _image_folder(data_path: Optional[str], size: int, _: Counts) -> Source:
    form = f" at {size}x{size}"
    source = read_class_folders(data_path, size, channels=3)
    return attrs.evolve(
        source, train_text=source.train_text + form, test_text="the whole folder test" + form
    )


_SOURCES: Dict[str, Callable[[Optional[str], int, Counts], Source]] = {
    "cifar10": lambda data_path, *_: attrs.evolve(
        read_cifar10(data_path), test_text="the whole test_batch"
    ),
    "digits": lambda *_: read_digits(DIGITS_SIZE, DIGITS_CHANNELS),
    IMAGE_FOLDER: _image_folder,
    "synthetic": lambda _, size, counts: synthetic_images((size, size), counts),
    "synthetic_volumes": lambda _, size, counts: synthetic_images((size,) * 3, counts),
}


# --- generated data --------------------------------------------------------------------------


def synthetic_images(shape: Tuple[int, ...], counts: Counts) -> Source:
    """Generated training and test images that a network can learn to tell apart.

    Every class is a coarse colour pattern of 4 cells a side; every image of it has its own
    brightness and noise. Classes are equally frequent. The same arguments give the same bytes.

    Args:
        shape: (H, W), or (D, H, W) of volumes.
        counts: of training and test images.
    """
    patterns = _class_patterns(shape)
    train, test = (
        _noisy_images(patterns, count, np.random.RandomState([_PATTERN_SEED, stream]))
        for stream, count in enumerate(counts, start=1)
    )
    size = "x".join(str(length) for length in shape)
    texts = [
        f"{count} generated {part} images of {size}"
        for count, part in zip(counts, ("training", "test"))
    ]
    names = tuple(f"pattern {number}" for number in range(_PATTERN_CLASSES))
    return Source(train, test, names, *texts)


def _class_patterns(spatial_shape: Tuple[int, ...]) -> np.ndarray:
    """int64, (classes, *spatial_shape, 3), from 0 to _PATTERN_RANGE - 1."""
    generator = np.random.RandomState([_PATTERN_SEED, 0])
    shape = (_PATTERN_CLASSES,) + (_PATTERN_CELLS,) * len(spatial_shape) + (3,)
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
