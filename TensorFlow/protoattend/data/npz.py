"""Labelled images from a numpy .npz file, without unpickling anything."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from protoattend.data.labelled_images import LabelledImages
from protoattend.data.source import Source, numbered_names

WITH_TEST = ("x_train", "y_train", "x_test", "y_test")
WHOLE = ("images", "labels")
_LARGEST_LABEL = 2**16 - 1
_FAILURES = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_npz(data_path: Optional[str]) -> Source:
    """The arrays x_train, y_train, x_test and y_test, or images and labels.

    Images are uint8, (N, H, W) or (N, H, W, C) with C 1 or 3; labels are whole numbers from 0,
    (N,) or (N, 1). The classes are named by their numbers.

    Args:
        data_path: the file, or a folder with one .npz file in it.

    Raises:
        ZooError: no such file, damaged, arrays missing, or of other types and shapes.
    """
    path = find_file(data_path)
    arrays = _read(path)
    if all(name in arrays for name in WITH_TEST):
        train = _labelled(path, arrays, *WITH_TEST[:2])
        test = _labelled(path, arrays, *WITH_TEST[2:])
        if train.images.shape[1:] != test.images.shape[1:]:
            raise ZooError(
                f"{path}: images of x_train are {train.images.shape[1:]}, of x_test "
                f"{test.images.shape[1:]}: one shape is needed"
            )
        return Source(train, test, _names(train, test), "x_train", "x_test")
    if all(name in arrays for name in WHOLE):
        whole = _labelled(path, arrays, *WHOLE)
        return Source(whole, None, _names(whole), "images")
    raise ZooError(
        "{}: holds {}: {}, or {} are needed".format(
            path, ", ".join(sorted(arrays)) or "nothing", ", ".join(WITH_TEST), " and ".join(WHOLE)
        )
    )


def find_file(data_path: Optional[str]) -> Path:
    """The .npz file that `data_path` names, or the only one in that folder."""
    if not data_path:
        raise ZooError("npz needs a .npz file: give --data_path")
    path = Path(data_path)
    if not path.is_dir():
        if not path.exists():
            raise ZooError(f"{path}: no such file: give --data_path of a .npz file")
        return path
    found = sorted(path.glob("*.npz"))
    if len(found) != 1:
        raise ZooError(
            "{}: {} .npz files in it: give --data_path of one".format(path, len(found) or "no")
        )
    return found[0]


def _read(path: Path) -> Dict[str, np.ndarray]:
    """The arrays that are looked for; the names alone of all others."""
    try:
        stored = np.load(str(path), allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise ValueError("one array, not an archive of arrays")
        with stored:
            wanted = WITH_TEST + WHOLE
            return {name: stored[name] if name in wanted else np.zeros(0) for name in stored.files}
    except _FAILURES as error:
        raise ZooError(
            "{}: not a readable .npz file ({}): write it again with numpy.savez".format(
                path, " ".join(str(error).split())
            )
        ) from None


def _labelled(
    path: Path, arrays: Dict[str, np.ndarray], images_name: str, labels_name: str
) -> LabelledImages:
    images, labels = arrays[images_name], arrays[labels_name]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ZooError(
            f"{path}: {labels_name} is {labels.dtype} of shape {labels.shape}: whole numbers "
            "of shape (N,) are needed"
        )
    if len(labels) == 0:
        raise ZooError(f"{path}: {labels_name} is empty")
    if labels.min() < 0 or labels.max() > _LARGEST_LABEL:
        outside = labels.min() if labels.min() < 0 else labels.max()
        raise ZooError(
            f"{path}: {labels_name} has the label {outside}: 0 to {_LARGEST_LABEL} are supported"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    try:
        return LabelledImages(images, labels.astype(np.int32))
    except ZooError as error:
        raise ZooError(f"{path}: {images_name}: {error}") from None


def _names(*parts: LabelledImages) -> Tuple[str, ...]:
    return numbered_names(1 + max(int(part.labels.max()) for part in parts))
