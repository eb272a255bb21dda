"""CIFAR-10 as labelled images; the files are read by common.data.cifar10."""

from __future__ import annotations

from typing import Optional

import numpy as np

from common.data.cifar10 import PUBLISHED_MD5, Cifar10Part, find_folder, read_batches
from protoattend.data.labelled_images import LabelledImages
from protoattend.data.source import Source


def load_cifar10(data_path: Optional[str]) -> Source:
    """CIFAR-10 from the folder cifar-10-batches-py, or from the folder that holds it.

    Raises:
        ZooError: no, wrong or incomplete folder, an archive not unpacked, an altered file.
    """
    arrays = read_batches(find_folder(data_path), PUBLISHED_MD5)
    return Source(
        _labelled(arrays.train),
        _labelled(arrays.test),
        arrays.class_names,
        "data_batch_1 to data_batch_5",
        "test_batch",
    )


def _labelled(part: Cifar10Part) -> LabelledImages:
    return LabelledImages(part.images, part.labels.astype(np.int32))
