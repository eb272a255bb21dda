"""Labelled images from a folder with one sub-folder per class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from common.datasets.image_files import SUFFIXES, decode_image
from common.errors import ZooError
from protoattend.data.labelled_images import LabelledImages
from protoattend.data.source import Source

TRAIN_FOLDER, TEST_FOLDER = "train", "test"
_LAYOUT = "CLASS/IMAGE.png, or train/CLASS/IMAGE.png with test/CLASS/IMAGE.png, is needed"


def load_image_folder(data_path: Optional[str], image_size: Optional[int]) -> Source:
    """PNG and JPEG files under `data_path`; the folders' names are the classes.

    They are grey where every file is, else RGB.

    Args:
        data_path: the folder of the class folders, or of train/ and test/.
        image_size: each image is resized to cover image_size x image_size, then its centre is
            cut out; all must have one size of their own when None.

    Raises:
        ZooError: a missing, empty or unreadable folder, a damaged image, sizes that differ.
    """
    root = _checked_folder(data_path)
    try:
        return _load(root, image_size)
    except OSError as error:
        raise ZooError("{}: can't be read ({}): check its permissions".format(
            error.filename or root, error.strerror or error)) from None


def _load(root: Path, image_size: Optional[int]) -> Source:
    folders = _sub_folders(root)
    if TRAIN_FOLDER not in folders or TEST_FOLDER not in folders:
        classes = _classes(root)
        images, labels = _read_classes(root, classes, image_size)
        return Source(_labelled(images, labels), None, classes, "all class folders")
    classes = _classes(root / TRAIN_FOLDER)
    _check_same_classes(root / TEST_FOLDER, classes)
    train, train_labels = _read_classes(root / TRAIN_FOLDER, classes, image_size)
    test, test_labels = _read_classes(root / TEST_FOLDER, classes, image_size)
    whole = _labelled(train + test, train_labels + test_labels)
    ignored = sorted(set(folders) - {TRAIN_FOLDER, TEST_FOLDER})
    notices = () if not ignored else (
        "{}: beside train and test, {} is not looked at".format(root, ", ".join(ignored)),)
    return Source(whole.take(np.arange(len(train))), whole.take(np.arange(len(train), len(whole))),
                  classes, "the folder train", "the folder test", notices)


def _checked_folder(data_path: Optional[str]) -> Path:
    if not data_path:
        raise ZooError("image_folder needs a folder with one sub-folder per class: give "
                       "--data_path")
    root = Path(data_path)
    if not root.exists():
        raise ZooError("{}: no such folder: give --data_path of the images".format(root))
    if not root.is_dir():
        raise ZooError("{}: a file, not a folder: {}".format(root, _LAYOUT))
    return root


def _sub_folders(folder: Path) -> List[str]:
    with os.scandir(str(folder)) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _classes(folder: Path) -> Tuple[str, ...]:
    classes = tuple(_sub_folders(folder))
    if len(classes) < 2:
        raise ZooError("{}: {} class folder(s), at least 2 are needed: {}".format(
            folder, len(classes), _LAYOUT))
    return classes


def _check_same_classes(folder: Path, classes: Tuple[str, ...]) -> None:
    different = sorted(set(_sub_folders(folder)) ^ set(classes))
    if different:
        raise ZooError("{}: other classes than for training ({}): use the same class "
                       "folders".format(folder, ", ".join(different)))


Files = List[Tuple[Path, np.ndarray]]


def _read_classes(
    folder: Path, classes: Tuple[str, ...], image_size: Optional[int]
) -> Tuple[Files, List[int]]:
    """Every file with its pixels, sorted by class and name, and the labels."""
    size = None if image_size is None else (image_size, image_size)
    files: Files = []
    labels: List[int] = []
    for label, name in enumerate(classes):
        for path in _image_files(folder / name):
            files.append((path, decode_image(path.read_bytes(), str(path), size)))
            labels.append(label)
    return files, labels


def _image_files(folder: Path) -> List[Path]:
    with os.scandir(str(folder)) as entries:
        names = sorted(entry.name for entry in entries
                       if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."))
    if not names:
        raise ZooError("{}: no PNG or JPEG files in it: {}".format(folder, _LAYOUT))
    return [folder / name for name in names]


def _labelled(files: Files, labels: List[int]) -> LabelledImages:
    first_path, first = files[0]
    for path, pixels in files:
        if pixels.shape[:2] != first.shape[:2]:
            raise ZooError(
                "{} has {} x {} pixels, {} has {} x {}: give --img_size to resize all".format(
                    path, *pixels.shape[1::-1], first_path, *first.shape[1::-1]))
    channels = max(pixels.shape[2] for _, pixels in files)
    images = np.empty((len(files),) + first.shape[:2] + (channels,), np.uint8)
    for image, (_, pixels) in zip(images, files):
        image[...] = pixels  # grey is repeated over RGB, as Pillow converts it
    return LabelledImages(images, np.array(labels, np.int32))
