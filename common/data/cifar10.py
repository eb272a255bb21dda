"""CIFAR-10 from its python batches (Krizhevsky 2009), without running the pickles they are."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from common.core.errors import ZooError, first_line
from common.data import bytes_of, folder_given
from common.data.arrays import manifest_sha256, sha256_of_bytes
from common.data.labelled_images import LabelledImages, Source
from common.data.safe_pickle import AllowListUnpickler, ForbiddenName, encode_latin1

FOLDER_NAME = "cifar-10-batches-py"
META_FILE, TEST_FILE = "batches.meta", "test_batch"
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))

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
_SHAPE = (3, 32, 32)


def read_cifar10(data_path: Optional[str]) -> Source:
    """CIFAR-10 from the folder cifar-10-batches-py, or from the folder that holds it.

    Raises:
        ZooError: no, wrong or incomplete folder, an archive not unpacked, an altered file.
    """
    return read_batches(find_folder(data_path), PUBLISHED_MD5)


def find_folder(data_path: Optional[str]) -> Path:
    """The folder with the batches: `data_path` itself, or cifar-10-batches-py inside it."""
    path = Path(data_path or "")
    for folder in (path, path / FOLDER_NAME) if data_path else ():
        if any((folder / name).exists() for name in PUBLISHED_MD5):
            return folder
    names = sorted(os.listdir(str(path))) if data_path and os.path.isdir(data_path) else []
    for archive in [path] + [path / name for name in names if "cifar-10" in name]:
        if archive.is_file() and (".tar" in archive.suffixes or archive.suffix == ".tgz"):
            command = f"tar xf {shlex.quote(str(archive))} -C {shlex.quote(str(archive.parent))}"
            raise ZooError(f"{archive}: an archive that is not unpacked: run '{command}'")
    if "data_batch_1.bin" in names or "cifar-10-batches-bin" in names:
        raise ZooError(f"{path}: the binary version of CIFAR-10: the python version is needed")
    path = folder_given(data_path, "cifar10", f"the folder {FOLDER_NAME}")
    raise ZooError(f"{path}: holds no CIFAR-10 python batches: give --data_path of {FOLDER_NAME}")


def read_batches(folder: Path, md5_by_name: Mapping[str, str]) -> Source:
    """Reads the batches of `folder` that `md5_by_name` has; each file must have its md5.

    Raises:
        ZooError: a file is missing, unreadable, truncated or altered, or its content no batch.
    """
    names = [META_FILE, TEST_FILE] + [name for name in TRAIN_FILES if name in md5_by_name]
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ZooError("{}: {} missing: unpack CIFAR-10 again".format(folder, ", ".join(missing)))
    sums: Dict[str, str] = {}
    classes = _class_names(_read(folder / META_FILE, md5_by_name, sums), folder / META_FILE)
    test, *train = (
        _part(_read(folder / name, md5_by_name, sums), classes, folder / name) for name in names[1:]
    )
    return Source(
        LabelledImages(
            np.concatenate([part.images for part in train]),
            np.concatenate([part.labels for part in train]),
            classes,
        ),
        test,
        classes,
        "data_batch_1 to data_batch_5",
        "test_batch",
        manifest_sha256(sums),
    )


def _read(path: Path, md5_by_name: Mapping[str, str], sums: Dict[str, str]) -> Dict[str, Any]:
    """What a file's pickle maps, by text; adds the file's sha256 to `sums`."""
    content = bytes_of(path)
    md5, published = hashlib.md5(content).hexdigest(), md5_by_name[path.name]
    if md5 != published:
        raise ZooError(
            f"{path}: truncated or altered ({len(content)} bytes, md5 {md5}, "
            f"published {published}): unpack CIFAR-10 again"
        )
    sums[path.name] = sha256_of_bytes(content)
    # Parsed from the very bytes that were checked, so that nothing can change in between.
    try:
        loaded = _BatchUnpickler(io.BytesIO(content), fix_imports=False, encoding="bytes").load()
    except ForbiddenName as error:
        raise ZooError(
            f"{path}: refused, this pickle asks for what data has no need of ({error}): unpack "
            "CIFAR-10 again"
        ) from None
    except Exception as error:  # damaged pickles raise every kind there is
        raise ZooError(
            f"{path}: not a readable data pickle ({first_line(error)}): unpack CIFAR-10 again"
        ) from None
    return {_text(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}


class _BatchUnpickler(AllowListUnpickler):
    """Knows what arrays of bytes call, as files of numpy 1, numpy 2 and Python 2 say it."""

    buildable = (np.ndarray, type(np.dtype("u1")))
    allowed = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): encode_latin1,
    }


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _class_names(meta: Mapping[str, Any], path: Path) -> Tuple[str, ...]:
    names = meta.get("label_names")
    if not isinstance(names, list) or not names:
        raise ZooError(f"{path}: holds no label_names: unpack CIFAR-10 again")
    return tuple(_text(name) for name in names)


def _part(batch: Mapping[str, Any], classes: Tuple[str, ...], path: Path) -> LabelledImages:
    pixels: Any = batch.get("data")
    labels: List[Any] = batch.get("labels", [])
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list):
        raise ZooError(f"{path}: holds no data with labels: unpack CIFAR-10 again")
    try:
        planes = pixels.reshape((len(labels),) + _SHAPE)
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return LabelledImages(images, np.array(labels, np.int64).reshape(len(labels)), classes)
    except (ValueError, TypeError, OverflowError) as error:
        raise ZooError(
            f"{path}: data and labels don't fit together ({error}): unpack CIFAR-10 again"
        ) from None
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None
