"""What protoattend.train opens, with random images in memory in place of a dataset."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from common.data.labelled_images import DatasetSplits, LabelledImages, numbered_names
from common.machine.precision import resolve
from common.machine.ranks import Place
from common.training.tensorflow import runtime as tf_runtime
from protoattend.network.attention import IN_FLOAT32
from protoattend.options import TRAIN, parse_options
from protoattend.session import Session

SHAPE, CLASSES = (28, 28, 1), 10
VALIDATED = 8  # images of a split that is not looked at


def synthetic_session(
    device_kind: str, mode: str, flags: Sequence[str], trained: int, tested: int = VALIDATED
) -> Session:
    """A session on so many training and test images, with flags of protoattend.train.

    Args:
        mode: a precision mode.
    """
    options = parse_options(TRAIN, ["--device", device_kind] + list(flags))
    precision = resolve(mode, "tensorflow", device_kind, tf_runtime.capabilities(device_kind))
    tf_runtime.keep_in_float32(IN_FLOAT32)
    tf_runtime.keep_host_memory()
    device = tf_runtime.open_device(device_kind, Place(0, 1, 0), precision)
    return Session(options, device, precision, _dataset(trained, tested))


def _dataset(trained: int, tested: int) -> DatasetSplits:
    return DatasetSplits(
        name="random",
        predicate="random",
        train=_split(trained, 0),
        validation=_split(VALIDATED, 1),
        test=_split(tested, 2),
        manifest_sha256="",
    )


def _split(count: int, seed: int) -> Any:
    random = np.random.RandomState(seed)
    return LabelledImages(
        random.randint(0, 256, (count,) + SHAPE).astype(np.uint8),
        random.randint(0, CLASSES, count).astype(np.int32),
        numbered_names(CLASSES),
    )
