"""Labelled data that needs no download: real handwritten digits, and generated patterns."""

from __future__ import annotations

import numpy as np

from common.core.errors import UsageError
from common.data.digits import STORED_MAXIMUM, load_stored_digits
from common.data.resize import resize_bilinear
from residual_attention_net.data.labelled_images import LabelledImages

DIGITS_SIZE = 32

# Fixed, so that the generated data is the same whatever the seed of a run.
_PATTERN_SEED = 20170423
_PATTERN_CELLS = 4
_PATTERN_RANGE = 160
_NOISE_RANGE = 64
_BRIGHTNESS_RANGE = 32


def load_digits() -> LabelledImages:
    """scikit-learn's 1,797 handwritten digits (UCI optical recognition, 8x8), as 32x32x3.

    Enlarged by bilinear interpolation in integers, so that every stack gives the same bytes.

    Raises:
        ZooError: scikit-learn is not installed.
    """
    stored = load_stored_digits()
    images = np.repeat(enlarge_digits(stored.values)[..., np.newaxis], 3, axis=-1)
    return LabelledImages(images, stored.labels, stored.class_names)


def enlarge_digits(digits: np.ndarray) -> np.ndarray:
    """8x8 digits of 0 to 16 as 32x32 images of 0 to 255.

    Args:
        digits: int64, (N, 8, 8).

    Returns:
        uint8, (N, 32, 32): bilinear (pixel centres, edges repeated), rounded to the nearest.
    """
    return resize_bilinear(digits, DIGITS_SIZE, DIGITS_SIZE, STORED_MAXIMUM)


def synthetic_images(
    class_count: int, train_count: int, test_count: int, spatial_shape: tuple[int, ...]
) -> tuple[LabelledImages, LabelledImages]:
    """Generated training and test images that a network can learn to tell apart.

    Every class is a coarse colour pattern of 4 cells a side; every image of it has its own
    brightness and noise. Classes are equally frequent. The same arguments give the same bytes.

    Args:
        class_count: at least 2.
        train_count: images to train on, at least 1.
        test_count: images to test on, at least 1.
        spatial_shape: (H, W), or (D, H, W) for volumes.

    Raises:
        UsageError: a count or a size out of range.
    """
    if class_count < 2 or min(train_count, test_count) < 1 or min(spatial_shape) < 1:
        raise UsageError(
            f"synthetic data of {class_count} classes, {train_count} training and {test_count} "
            f"test images of {spatial_shape}: at least 2 classes, 1 image and 1 pixel are needed"
        )
    patterns = _class_patterns(class_count, spatial_shape)
    train = _noisy_images(patterns, train_count, np.random.RandomState([_PATTERN_SEED, 1]))
    test = _noisy_images(patterns, test_count, np.random.RandomState([_PATTERN_SEED, 2]))
    return train, test


def _class_patterns(class_count: int, spatial_shape: tuple[int, ...]) -> np.ndarray:
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
    classes = tuple(f"pattern {number}" for number in range(len(patterns)))
    return LabelledImages(images, labels.astype(np.int64), classes)
