"""A small CIFAR-10 in the published form, for tests."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Dict, List

import numpy as np


def python2_batch(pixels: np.ndarray, labels: List[int]) -> bytes:
    """A pickle as CIFAR-10's: protocol 2 of Python 2, with byte strings for all text.

    Args:
        pixels: uint8, (N, 3072).
        labels: N class numbers.
    """
    content = pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01"
        + _integer(pixels.shape[0])
        + _integer(pixels.shape[1])
        + b"\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        + b"J\xff\xff\xff\xffK\x00tb\x89T"
        + len(content).to_bytes(4, "little")
        + content
        + b"tb"
    )
    listed = b"](" + b"".join(_integer(label) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + listed + b"u."


def _integer(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def cifar10_pixels(seed: int, count: int) -> np.ndarray:
    """What `write_cifar10` writes: uint8, (count, 3072), seed 0 for training, 1 for test."""
    return np.random.RandomState(seed).randint(0, 256, (count, 3072)).astype(np.uint8)


def write_cifar10(folder: Path, images_per_file: int = 4) -> Dict[str, str]:
    """Writes it with one training file; returns the md5 by file name."""
    folder.mkdir(parents=True)
    contents = {"batches.meta": pickle.dumps({"label_names": ["cat", "dog"]}, protocol=2)}
    for seed, name in enumerate(("data_batch_1", "test_batch")):
        labels = [number % 2 for number in range(images_per_file)]
        contents[name] = python2_batch(cifar10_pixels(seed, images_per_file), labels)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
