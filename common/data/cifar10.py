"""CIFAR-10 from its python batches (Krizhevsky 2009), without running the pickles they are."""

from __future__ import annotations

import hashlib
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from common.core.errors import ZooError
from common.data.manifest import manifest_sha256, sha256_of_bytes
from common.data.safe_pickle import StoredArray, load_data_pickle

FOLDER_NAME = "cifar-10-batches-py"
META_FILE = "batches.meta"
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILE = "test_batch"

# The sums that torchvision.datasets.CIFAR10 publishes and checks.
PUBLISHED_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}

_CHANNELS, _SIZE = 3, 32
_READERS = 2


@dataclass(frozen=True, eq=False)
class Cifar10Part:
    """Images with their labels: uint8 (N, 32, 32, 3), and int64 (N,) below the class count."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Cifar10Arrays:
    """The published sets: 50,000 training and 10,000 test images, in the files' order."""

    train: Cifar10Part
    test: Cifar10Part
    class_names: tuple[str, ...]
    manifest_sha256: str


@dataclass(frozen=True, eq=False)
class _BatchFile:
    sha256: str
    content: dict[str, object]


def find_folder(data_path: str | None) -> Path:
    """The folder with the batches: `data_path` itself, or cifar-10-batches-py inside it."""
    if not data_path:
        raise ZooError(f"cifar10 needs the folder {FOLDER_NAME}: give --data_path")
    path = Path(data_path)
    try:
        return _find_folder(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _find_folder(path: Path) -> Path:
    if path.is_dir():
        for folder in (path, path / FOLDER_NAME):
            if any((folder / name).exists() for name in PUBLISHED_MD5):
                return folder
        raise ZooError(_no_batches(path))
    if not path.exists():
        raise ZooError(f"{path}: no such folder: give --data_path of {FOLDER_NAME}")
    if _is_archive(path):
        raise ZooError(_not_unpacked(path))
    raise ZooError(f"{path}: a file, not a folder: give the folder {FOLDER_NAME}")


def _no_batches(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    archives = [name for name in names if "cifar-10" in name and _is_archive(Path(name))]
    if archives:
        return _not_unpacked(folder / archives[0])
    if "data_batch_1.bin" in names or "cifar-10-batches-bin" in names:
        return f"{folder}: the binary version of CIFAR-10: the python version is needed"
    what = "holds no CIFAR-10 python batches" if names else "is empty"
    return f"{folder}: {what}: give --data_path of the folder {FOLDER_NAME}"


def _is_archive(path: Path) -> bool:
    return ".tar" in path.suffixes or path.suffix == ".tgz"


def _not_unpacked(archive: Path) -> str:
    command = f"tar xf {shlex.quote(str(archive))} -C {shlex.quote(str(archive.parent))}"
    return f"{archive}: an archive that is not unpacked: run '{command}'"


def read_batches(folder: Path, md5_by_name: Mapping[str, str]) -> Cifar10Arrays:
    """Reads every batch of `folder`; each file must have the md5 that `md5_by_name` gives.

    Raises:
        ZooError: a file is missing, unreadable, truncated or altered, or its content no batch.
    """
    names = [META_FILE, TEST_FILE] + [name for name in TRAIN_FILES if name in md5_by_name]
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ZooError("{}: {} missing: unpack CIFAR-10 again".format(folder, ", ".join(missing)))
    # Threads, because checksums and copies leave the interpreter free for the next file.
    with ThreadPoolExecutor(_READERS) as readers:
        files = dict(
            zip(names, readers.map(lambda name: _read_file(folder / name, md5_by_name), names))
        )
        classes = _class_names(files[META_FILE].content, folder / META_FILE)
        parts = list(
            readers.map(
                lambda name: _part(files[name].content, len(classes), folder / name), names[1:]
            )
        )
    manifest = manifest_sha256({name: file.sha256 for name, file in files.items()})
    return Cifar10Arrays(_joined(parts[1:]), parts[0], classes, manifest)


def _read_file(path: Path, md5_by_name: Mapping[str, str]) -> _BatchFile:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    md5 = hashlib.md5(content).hexdigest()
    published = md5_by_name[path.name]
    if md5 != published:
        raise ZooError(
            f"{path}: truncated or altered ({len(content)} bytes, md5 {md5}, "
            f"published {published}): unpack CIFAR-10 again"
        )
    # Parsed from the very bytes that were checked, so that nothing can change in between.
    return _BatchFile(sha256_of_bytes(content), _text_keys(load_data_pickle(content, str(path))))


def _text_keys(loaded: object) -> dict[str, object]:
    if not isinstance(loaded, dict):
        return {}
    return {_text(key): value for key, value in loaded.items()}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _class_names(meta: dict[str, object], path: Path) -> tuple[str, ...]:
    names = meta.get("label_names")
    if not isinstance(names, list) or not names:
        raise ZooError(f"{path}: holds no label_names: unpack CIFAR-10 again")
    return tuple(_text(name) for name in names)


def _part(batch: dict[str, object], class_count: int, path: Path) -> Cifar10Part:
    pixels, labels = batch.get("data"), batch.get("labels")
    if not isinstance(pixels, StoredArray) or not isinstance(labels, list):
        raise ZooError(f"{path}: holds no data with labels: unpack CIFAR-10 again")
    try:
        planes = pixels.to_numpy().reshape(len(labels), _CHANNELS, _SIZE, _SIZE)
        if planes.dtype != np.uint8:
            raise ValueError(f"pixels are {planes.dtype}, not uint8")
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        part = Cifar10Part(images, np.array(labels, np.int64).reshape(len(labels)))
    except (ValueError, TypeError, OverflowError) as error:
        raise ZooError(
            f"{path}: data and labels don't fit together ({error}): unpack CIFAR-10 again"
        ) from None
    _check_labels(part.labels, class_count, path)
    return part


def _check_labels(labels: np.ndarray, class_count: int, path: Path) -> None:
    outside = np.flatnonzero((labels < 0) | (labels >= class_count))
    if len(outside):
        raise ZooError(
            f"{path}: label {labels[outside[0]]} of image {outside[0]} is out of range: "
            f"{class_count} classes allow 0 to {class_count - 1}"
        )


def _joined(parts: list[Cifar10Part]) -> Cifar10Part:
    return Cifar10Part(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _unreadable(path: Path, error: OSError) -> ZooError:
    return ZooError(f"{path}: can't be read ({error.strerror or error}): give a readable folder")
