"""Images from another distribution, to see whether the confidence tells them apart."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple

import numpy as np

from common.core.errors import UsageError, ZooError
from common.data.arrays import resize_bilinear, sha256_of_array
from common.data.labelled_images import DatasetSplits
from protoattend.data.datasets import EMBEDDED, INNER_FOLDER, read_source

_ITU_R_601 = np.array([299, 587, 114])
_SEED_STREAM = 3


def open_other_set(
    name: str,
    dataset: DatasetSplits,
    data_path: Optional[str],
    count: int,
    seed: int = 0,
) -> np.ndarray:
    """Images of another kind in the shape of a dataset's own.

    Args:
        name: one of OTHER_SETS: the test images of another dataset, or "noise" (every pixel
            uniform), or "rotated" (the dataset's own test images, turned by 90 degrees).
        dataset: what the images are to be told apart from.
        data_path: the other dataset's folder, the folder beside it, or the parent of both.
        count: images wanted; all of them where there are fewer.
        seed: of the choice, 0 to 2**32 - 1.

    Returns:
        uint8, (n, H, W, C) with n <= count: grey made of colour by the weights of ITU-R 601,
        colour of grey by repetition, resized bilinearly.

    Raises:
        UsageError: an unknown name, a count below 1, or the dataset itself.
        ZooError: data that is missing or damaged, an empty set, or the dataset itself by another
            name.
    """
    if name not in OTHER_SETS:
        raise UsageError(
            "the other set {!r} is unknown: use one of {}".format(name, ", ".join(OTHER_SETS))
        )
    if count < 1:
        raise UsageError(f"{count} images of {name} asked for: at least 1 is needed")
    if name == dataset.name:
        raise UsageError(f"{name} is the dataset itself: name another set to tell it from")
    generator = np.random.RandomState([seed, _SEED_STREAM])
    images = _READERS[name](dataset, data_path, count, generator)
    if len(images) == 0:
        raise ZooError(f"{name} has no images: give another --data_path or set")
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


def _chosen(count: int, wanted: int, generator: np.random.RandomState) -> np.ndarray:
    return np.sort(generator.permutation(count)[:wanted])


def _noise(
    dataset: DatasetSplits, _path: Optional[str], count: int, generator: np.random.RandomState
) -> np.ndarray:
    return generator.randint(0, 256, (count,) + dataset.image_shape).astype(np.uint8)


def _rotated(
    dataset: DatasetSplits, _path: Optional[str], count: int, generator: np.random.RandomState
) -> np.ndarray:
    images = dataset.test.images
    turned = np.rot90(images[_chosen(len(images), count, generator)], axes=(1, 2))
    return to_shape(np.ascontiguousarray(turned), dataset.image_shape)


def _of_dataset(
    name: str,
    dataset: DatasetSplits,
    data_path: Optional[str],
    count: int,
    generator: np.random.RandomState,
) -> np.ndarray:
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
    return to_shape(images[_chosen(len(images), count, generator)], dataset.image_shape)


_READERS: Dict[str, Callable[..., np.ndarray]] = {
    "digits": partial(_of_dataset, "digits"),
    "cifar10": partial(_of_dataset, "cifar10"),
    "noise": _noise,
    "rotated": _rotated,
    "mnist": partial(_of_dataset, "mnist"),
    "fashion_mnist": partial(_of_dataset, "fashion_mnist"),
}
OTHER_SETS = tuple(_READERS)
