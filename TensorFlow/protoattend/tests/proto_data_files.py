"""Small data for the tests: idx folders, labelled images."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Callable, Type

import numpy as np
import pytest

from common.core.errors import ZooError
from common.data.labelled_images import DatasetSplits, LabelledImages

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def numbered_images(
    count: int, classes: int = 3, size: int = 4, channels: int = 1
) -> LabelledImages:
    """Images whose every pixel is the image's number, from 1; labels go round the classes."""
    numbers = np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(numbers, (count, size, size, channels)).copy()
    return LabelledImages(images, (np.arange(count) % classes).astype(np.int32))


def dataset_of(images: LabelledImages, name: str = "npz") -> DatasetSplits:
    """A dataset whose three splits are the same images."""
    return DatasetSplits(name, images, images, images, "", "0")


def random_pixels(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    """uint8 (count, size, size), from 1, so that a zero in a result can only be padding."""
    return np.random.RandomState(seed).randint(1, 256, (count, size, size)).astype(np.uint8)


def write_idx_folder(folder: Path, train: int = 30, test: int = 10) -> Path:
    """Writes the four idx files of random images of 6 x 6 pixels."""
    folder.mkdir(parents=True)
    arrays = []
    for seed, count in enumerate((train, test), start=1):
        arrays += [random_pixels(count, seed=seed), (np.arange(count) % 10).astype(np.uint8)]
    for name, values in zip(IDX_NAMES, arrays):
        head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        (folder / (name + ".gz")).write_bytes(gzip.compress(head + values.tobytes()))
    return folder


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Writes uint8 (H, W) or (H, W, 3) as an image file of the path's kind."""
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(pixels).save(str(path))


def refusal(action: Callable[[], object], error: Type[ZooError] = ZooError) -> str:
    """The line with which an action is refused."""
    with pytest.raises(error) as caught:
        action()
    line = str(caught.value)
    assert line and "\n" not in line
    return line
