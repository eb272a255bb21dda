"""Images from another distribution, to see whether the confidence tells them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

import numpy as np

from common.core.errors import UsageError, ZooError
from common.data.arrays import resize_bilinear, sha256_of_array
from common.data.labelled_images import DatasetSplits
from protoattend.data.datasets import EMBEDDED, INNER_FOLDER, read_source

NOISE, ROTATED = "noise", "rotated"
OTHER_SETS = ("digits", "cifar10", NOISE, ROTATED, "mnist", "fashion_mnist")
_ITU_R_601 = np.array([299, 587, 114])
_SEED_STREAM = 3


def open_other_set(
    name: str, dataset: DatasetSplits, data_path: Optional[str], count: int, seed: int = 0
) -> np.ndarray:
    """Images of another kind in the shape of a dataset's own.

    Args:
        name: one of OTHER_SETS: the test images of another dataset, or "noise" (every pixel
            uniform), or "rotated" (the dataset's own test images, turned by 90 degrees).
        dataset: what the images are to be told apart from.
        data_path: the other dataset's folder, the folder beside it, or the parent of both.
        count: images wanted; all of them where there are fewer.

    Returns:
        uint8, (n, H, W, C) with n <= count: grey made of colour by the weights of ITU-R 601,
        colour of grey by repetition, resized bilinearly.

    Raises:
        UsageError: the dataset itself.
        ZooError: data that is missing or damaged, or the dataset itself by another name.
    """
    generator = np.random.RandomState([seed, _SEED_STREAM])
    if name == dataset.name:
        raise UsageError(f"{name} is the dataset itself: name another set to tell it from")
    if name == NOISE:
        return generator.randint(0, 256, (count, *dataset.image_shape)).astype(np.uint8)
    images = dataset.test.images if name == ROTATED else _read(name, dataset, data_path)
    chosen = images[np.sort(generator.permutation(len(images))[:count])]
    if name == ROTATED:
        chosen = np.rot90(chosen, axes=(1, 2))
    return to_shape(np.ascontiguousarray(chosen), dataset.image_shape)


def _read(name: str, dataset: DatasetSplits, data_path: Optional[str]) -> np.ndarray:
    """The test images (all, without a test set) in data_path, its `dataset`, or beside it."""
    places = [data_path]
    if data_path and name not in EMBEDDED:
        places += [str(Path(data_path) / INNER_FOLDER), str(Path(data_path).absolute().parent)]
    source = read_source(name, places)
    images = (source.train if source.test is None else source.test).images
    if sha256_of_array(images) == sha256_of_array(dataset.test.images):
        raise ZooError(
            f"{data_path}: {name} there is the dataset {dataset.name} itself: name another set to "
            "tell it from"
        )
    return images


def to_shape(images: np.ndarray, shape: Tuple[int, ...]) -> np.ndarray:
    """uint8 (N, H, W, 1 or 3) as uint8 (N, *shape); see open_other_set."""
    height, width, channels = shape
    if images.shape[3] == 3 and channels == 1:
        weighted = (images.astype(np.int64) * _ITU_R_601).sum(axis=-1, keepdims=True)
        images = ((weighted + 500) // 1000).astype(np.uint8)
    if images.shape[1:3] != (height, width):
        images = resize_bilinear(images, height, width)
    return np.repeat(images, channels, axis=-1) if images.shape[3] < channels else images
