"""CIFAR-10 as labelled images; the files are read by common.data.cifar10."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

from common.data.cifar10 import PUBLISHED_MD5, Cifar10Part, find_folder, read_batches
from residual_attention_net.data.labelled_images import LabelledImages


@dataclass(frozen=True, eq=False)
class Cifar10:
    """The published sets: 50,000 training and 10,000 test images, in the files' order."""

    train: LabelledImages
    test: LabelledImages
    manifest_sha256: str


def load_cifar10(data_path: str | None) -> Cifar10:
    """CIFAR-10 from the folder cifar-10-batches-py, or from the folder that holds it.

    Raises:
        ZooError: no, wrong or incomplete folder, an archive not unpacked, an altered file.
    """
    return read_cifar10(find_folder(data_path), PUBLISHED_MD5)


def read_cifar10(folder: Path, md5_by_name: Mapping[str, str]) -> Cifar10:
    """Reads every batch of `folder`; each file must have the md5 that `md5_by_name` gives.

    Raises:
        ZooError: a file is missing, unreadable, truncated or altered, or its content no batch.
    """
    arrays = read_batches(folder, md5_by_name)

    def labelled(part: Cifar10Part) -> LabelledImages:
        return LabelledImages(part.images, part.labels, arrays.class_names)

    return Cifar10(labelled(arrays.train), labelled(arrays.test), arrays.manifest_sha256)
