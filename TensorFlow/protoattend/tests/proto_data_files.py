"""Small data for the tests: idx folders, image folders, labelled images."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Callable, Tuple, Type

import numpy as np
import pytest

from common.core.errors import ZooError
from protoattend.data.labelled_images import LabelledImages

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


def random_pixels(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    """uint8 (count, size, size), from 1, so that a zero in a result can only be padding."""
    return np.random.RandomState(seed).randint(1, 256, (count, size, size)).astype(np.uint8)


def idx_bytes(values: np.ndarray) -> bytes:
    """uint8 values of any shape in idx format."""
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(
        f">{values.ndim}I", *values.shape
    )
    return head + values.tobytes()


def write_idx_folder(
    folder: Path, train: int = 30, test: int = 10, packed: bool = True
) -> Tuple[np.ndarray, np.ndarray]:
    """Writes the four idx files of random images; returns the training and test pixels."""
    folder.mkdir(parents=True)
    pixels = random_pixels(train, seed=1), random_pixels(test, seed=2)
    arrays = [pixels[0], labels_of(train), pixels[1], labels_of(test)]
    for name, values in zip(IDX_NAMES, arrays):
        content = idx_bytes(values)
        path = folder / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return pixels


def labels_of(count: int, classes: int = 10) -> np.ndarray:
    """uint8 (count,): 0, 1, … round the classes."""
    return (np.arange(count) % classes).astype(np.uint8)


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
