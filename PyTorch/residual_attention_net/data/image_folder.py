"""Labelled images from a folder with one sub-folder per class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.datasets.image_files import SUFFIXES, decode_image
from common.datasets.manifest import manifest_sha256, sha256_of_bytes
from common.errors import UsageError, ZooError
from residual_attention_net.data.labelled_images import LabelledImages

TRAIN_FOLDER, TEST_FOLDER = "train", "test"

_LAYOUT = "CLASS/IMAGE.png, or train/CLASS/IMAGE.png with test/CLASS/IMAGE.png, is needed"


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """What a folder holds: training images, and test images where it has a folder of them."""

    train: LabelledImages
    test: LabelledImages | None
    manifest_sha256: str


def load_image_folder(data_path: str | None, image_size: int) -> ImageFolder:
    """PNG and JPEG files under `data_path`, each as image_size x image_size x 3.

    The shorter side is resized to `image_size` (bilinear), then the centre is cut out.

    Raises:
        ZooError: a missing, empty or unreadable folder, a damaged image, or no Pillow.
        UsageError: an image size below 1.
    """
    if image_size < 1:
        raise UsageError(f"image size {image_size}: at least 1 is needed")
    root = _checked_folder(data_path)
    sha256_by_name: dict[str, str] = {}
    try:
        train_root, test_root = _split_folders(root)
        classes = _class_names(train_root)
        train = _read_classes(train_root, classes, image_size, sha256_by_name, root)
        test = None
        if test_root is not None:
            _check_same_classes(test_root, classes)
            test = _read_classes(test_root, classes, image_size, sha256_by_name, root)
    except OSError as error:
        place = error.filename or root
        raise ZooError(
            f"{place}: can't be read ({error.strerror or error}): check its permissions"
        ) from None
    return ImageFolder(train, test, manifest_sha256(sha256_by_name))


def read_image(content: bytes, source: str, image_size: int) -> np.ndarray:
    """An encoded PNG or JPEG as uint8, (image_size, image_size, 3), RGB.

    Args:
        content: the whole file.
        source: its name for the error line.
        image_size: pixels of a side.

    Raises:
        ZooError: not a whole PNG or JPEG, or Pillow is not installed.
    """
    return decode_image(content, source, (image_size, image_size), channels=3)


def _checked_folder(data_path: str | None) -> Path:
    if not data_path:
        raise ZooError("images needs a folder with one sub-folder per class: give --data_path")
    root = Path(data_path)
    if not root.exists():
        raise ZooError(f"{root}: no such folder: give --data_path of the images")
    if not root.is_dir():
        raise ZooError(f"{root}: a file, not a folder: {_LAYOUT}")
    return root


def _sub_folders(folder: Path) -> list[str]:
    with os.scandir(str(folder)) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )


def _split_folders(root: Path) -> tuple[Path, Path | None]:
    if _sub_folders(root) == [TEST_FOLDER, TRAIN_FOLDER]:
        return root / TRAIN_FOLDER, root / TEST_FOLDER
    return root, None


def _class_names(folder: Path) -> tuple[str, ...]:
    classes = tuple(_sub_folders(folder))
    if len(classes) < 2:
        raise ZooError(f"{folder}: {len(classes)} class folders, at least 2 are needed: {_LAYOUT}")
    return classes


def _check_same_classes(folder: Path, classes: tuple[str, ...]) -> None:
    different = sorted(set(_sub_folders(folder)) ^ set(classes))
    if different:
        raise ZooError(
            "{}: other classes than for training ({}): use the same class folders".format(
                folder, ", ".join(different)
            )
        )


def _image_files(folder: Path) -> list[Path]:
    with os.scandir(str(folder)) as entries:
        names = sorted(e.name for e in entries if e.name.lower().endswith(SUFFIXES))
    if not names:
        raise ZooError(f"{folder}: no PNG or JPEG files in it: {_LAYOUT}")
    return [folder / name for name in names]


def _read_classes(
    folder: Path,
    classes: tuple[str, ...],
    image_size: int,
    sha256_by_name: dict[str, str],
    root: Path,
) -> LabelledImages:
    """Reads every image of every class; adds each file's checksum to `sha256_by_name`."""
    files = [
        (path, label) for label, name in enumerate(classes) for path in _image_files(folder / name)
    ]
    images = np.empty((len(files), image_size, image_size, 3), np.uint8)
    for index, (path, _label) in enumerate(files):
        content = path.read_bytes()
        sha256_by_name[path.relative_to(root).as_posix()] = sha256_of_bytes(content)
        images[index] = read_image(content, str(path), image_size)
    return LabelledImages(images, np.array([label for _, label in files], np.int64), classes)
