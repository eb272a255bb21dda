"""Labelled images in files of arrays: idx files (MNIST, LeCun) and .npz files (numpy)."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import operator
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError, first_line
from common.data import bytes_of, folder_given
from common.data.arrays import manifest_sha256, sha256_of_bytes
from common.data.catalogue import read_datasets
from common.data.labelled_images import LabelledImages, Source, numbered_names

_FASHION = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
IDX_CLASSES = {"fashion_mnist": tuple(_FASHION.split(",")), "mnist": numbered_names(10)}
_FOLDERS = {
    "fashion_mnist": ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "raw"),
    "mnist": ("mnist", "MNIST/raw", "raw", "MNIST"),
}
_PARTS = {"train": "train", "test": "t10k"}
# Labels first: they tell most cheaply what this is.
_KINDS = {"labels": ("labels-idx1-ubyte", 1), "images": ("images-idx3-ubyte", 3)}
_UNSIGNED_BYTES = 0x08
_MOST_VALUES = 1 << 32
_BLOCK = 1 << 20
_NPZ_DIVIDED = ("x_train", "y_train", "x_test", "y_test")
_NPZ_WHOLE = ("images", "labels")
_LARGEST_LABEL = 2**16 - 1


# --- idx -------------------------------------------------------------------------------------


def read_idx_folder(name: str, data_path: Optional[str], catalogue: Path) -> Source:
    """A dataset of four idx files from its folder, or from the folder that holds it.

    A file is read whether gz or not.

    Args:
        name: "fashion_mnist" or "mnist": the folders to look in, and the class names.
        catalogue: the datasets.yaml with the checksums of the published files.

    Raises:
        ZooError: no or an incomplete folder, a damaged file, counts that differ, or a file that
            is published as another dataset.
    """
    folder = _idx_folder(name, data_path)
    parts: List[LabelledImages] = []
    sums: Dict[str, str] = {}
    for part, prefix in _PARTS.items():
        arrays: Dict[str, np.ndarray] = {}
        for kind, (suffix, dimensions) in _KINDS.items():
            path = _idx_file(folder, part, kind)
            if path is None:
                raise ZooError(f"{folder}: no {prefix}-{suffix} or .gz of it: complete the folder")
            content = bytes_of(path)
            sums[path.name] = sha256_of_bytes(content)
            published = _published_by(catalogue).get(sums[path.name], name)
            if published != name:
                raise ZooError(
                    f"{path}: this is {published}'s file, not {name}'s: give another --data_path "
                    "or dataset"
                )
            arrays[kind] = parse_idx(content, str(path), dimensions)
        try:
            images = arrays["images"][..., np.newaxis]
            parts.append(LabelledImages(images, arrays["labels"].astype(np.int64)))
        except ZooError as error:
            raise ZooError(f"{folder}: {part}: {error}") from None
    train, test = parts
    _require_one_shape(folder, train, test)
    texts = ("the train files", "the t10k files")
    return Source(train, test, IDX_CLASSES[name], *texts, manifest_sha256(sums))


def _require_one_shape(path: Path, train: LabelledImages, test: LabelledImages) -> None:
    shapes = train.images.shape[1:], test.images.shape[1:]
    if shapes[0] != shapes[1]:
        raise ZooError(f"{path}: training images are {shapes[0]}, test images {shapes[1]}")


def _idx_folder(name: str, data_path: Optional[str]) -> Path:
    """The folder with a dataset's idx files: `data_path`, or one below it."""
    given = str(Path(data_path).parent) if data_path and Path(data_path).is_file() else data_path
    path = folder_given(given, name, "its idx files")
    for folder in [path] + [path / below for below in _FOLDERS[name]]:
        if any(_idx_file(folder, part, "images") for part in _PARTS):
            return folder
    raise ZooError(
        f"{path}: no train-images-idx3-ubyte in it: give --data_path of {name}'s idx files, or "
        f"fetch them: zoo data prepare {name} --data_path={path}"
    )


def _idx_file(folder: Path, part: str, kind: str) -> Optional[Path]:
    """A part's file; the packed one first, for it can be compared with the published one."""
    base = f"{_PARTS[part]}-{_KINDS[kind][0]}"
    names = (base + ".gz", base, base.replace("-idx", ".idx"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


@functools.lru_cache(maxsize=None)
def _published_by(catalogue: Path) -> Dict[str, str]:
    """The dataset that each published file is of, by its sha256."""
    return {
        file.checksum.value: dataset.name
        for dataset in read_datasets(catalogue)
        for file in dataset.files
        if file.checksum is not None
    }


def parse_idx(content: bytes, source: str, dimensions: int) -> np.ndarray:
    """The values of an idx file, packed by gzip or not: uint8 of the sizes it states, read-only.

    Args:
        content: the whole file.
        source: its name for the error line.
        dimensions: 1 for labels, 3 for images.

    Raises:
        ZooError: truncated, damaged, not idx, of other values or another number of dimensions.
    """
    head = 4 + 4 * dimensions
    try:
        # A stream of gzip that lies reserves no memory: no more is unpacked than is stated.
        packed = content[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content)
        header = stream.read(head)
        if header[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions]):
            raise ValueError(
                f"not an idx file of {dimensions} dimension(s) of bytes (it begins with "
                f"0x{header[:4].hex()}); images and labels may be exchanged"
            )
        sizes = [int(size) for size in np.frombuffer(header[4:].ljust(head - 4), ">u4")]
        stated, expected = " x ".join(map(str, sizes)), functools.reduce(operator.mul, sizes)
        body = b"".join(_blocks(stream, expected + 1)) if expected <= _MOST_VALUES else b""
        if len(header) < head or not expected or len(body) != expected:
            raise ValueError(f"its header states {stated} values, it has others")
        return np.frombuffer(body, np.uint8).reshape(sizes)
    except (OSError, EOFError, ValueError, zlib.error) as error:  # OSError: a bad checksum
        told = f"truncated or damaged ({first_line(error)})"
        raise ZooError(f"{source}: {told}: get the file again") from None


def _blocks(stream: Any, most: int) -> Iterator[bytes]:
    """What can be read, in blocks; beyond `most` bytes no more."""
    while most > 0:
        block = stream.read(_BLOCK)
        if not block:
            return
        most -= len(block)
        yield block


# --- npz -------------------------------------------------------------------------------------


def read_npz(data_path: Optional[str]) -> Source:
    """The arrays x_train, y_train, x_test and y_test, or images and labels, never unpickled.

    Images are uint8, (N, H, W) or (N, H, W, C) with C 1 or 3; labels are whole numbers from 0,
    (N,) or (N, 1). The classes are named by their numbers.

    Args:
        data_path: the file, or a folder with one .npz file in it.

    Raises:
        ZooError: no such file, damaged, arrays missing, or of other types and shapes.
    """
    path = _npz_file(data_path)
    arrays = _npz_arrays(path)
    if all(name in arrays for name in _NPZ_DIVIDED):
        train = _npz_labelled(path, arrays, *_NPZ_DIVIDED[:2])
        test = _npz_labelled(path, arrays, *_NPZ_DIVIDED[2:])
        _require_one_shape(path, train, test)
        return Source(train, test, _npz_classes(train, test), "x_train", "x_test")
    if all(name in arrays for name in _NPZ_WHOLE):
        whole = _npz_labelled(path, arrays, *_NPZ_WHOLE)
        return Source(whole, None, _npz_classes(whole), "images")
    raise ZooError(
        f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}: {', '.join(_NPZ_DIVIDED)}, or "
        f"{' and '.join(_NPZ_WHOLE)} are needed"
    )


def _npz_file(data_path: Optional[str]) -> Path:
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
        raise ZooError(f"{path}: {len(found) or 'no'} .npz files in it: give --data_path of one")
    return found[0]


def _npz_arrays(path: Path) -> Dict[str, np.ndarray]:
    """The arrays that are looked for; the names alone of all others."""
    wanted = _NPZ_DIVIDED + _NPZ_WHOLE
    try:
        stored = np.load(str(path), allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise ValueError("one array, not an archive of arrays")
        with stored:
            return {name: stored[name] if name in wanted else np.zeros(0) for name in stored.files}
    except Exception as error:  # damaged archives raise every kind there is
        raise ZooError(
            f"{path}: not a readable .npz file ({first_line(error)}): write it again with "
            "numpy.savez"
        ) from None


def _npz_labelled(
    path: Path, arrays: Dict[str, np.ndarray], images_name: str, labels_name: str
) -> LabelledImages:
    images, labels = arrays[images_name], arrays[labels_name]
    images = images[..., np.newaxis] if images.ndim == 3 else images
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    try:
        found = LabelledImages(images, labels)
        if images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ZooError(f"images are of shape {images.shape}: (N, H, W) or (N, H, W, 1 or 3)")
        if not len(labels) or labels.min() < 0 or labels.max() > _LARGEST_LABEL:
            raise ZooError(f"labels from 0 to {_LARGEST_LABEL} are needed, one at least")
        return dataclasses.replace(found, labels=labels.astype(np.int64))
    except ZooError as error:
        raise ZooError(f"{path}: {images_name}, {labels_name}: {error}") from None


def _npz_classes(*parts: LabelledImages) -> Tuple[str, ...]:
    return numbered_names(1 + max(int(part.labels.max()) for part in parts))
