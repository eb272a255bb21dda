"""Labelled images from a folder with one sub-folder per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np

from common.core.errors import UsageError
from common.data.class_folders import Labelled, find_class_folders, unreadable
from common.data.image_files import decode_image
from common.data.manifest import manifest_sha256, sha256_of_bytes
from residual_attention_net.data.labelled_images import LabelledImages


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """What a folder holds: training images, and test images where it has a folder of them.

    `ignored` are folders beside train and test, which are not looked at.
    """

    train: LabelledImages
    test: Optional[LabelledImages]
    manifest_sha256: str
    ignored: Tuple[str, ...]


def load_image_folder(data_path: Optional[str], image_size: int) -> ImageFolder:
    """PNG and JPEG files under `data_path`, each as image_size x image_size x 3.

    The shorter side is resized to `image_size` (bilinear), then the centre is cut out.

    Raises:
        ZooError: a missing, empty or unreadable folder, a damaged image, or no Pillow.
        UsageError: an image size below 1.
    """
    if image_size < 1:
        raise UsageError(f"image size {image_size}: at least 1 is needed")
    sha256_by_name: Dict[str, str] = {}
    try:
        found = find_class_folders(data_path, "images")
        train, test = (
            None
            if files is None
            else _read(files, found.classes, image_size, sha256_by_name, found.root)
            for files in (found.train, found.test)
        )
    except OSError as error:
        raise unreadable(str(data_path), error) from None
    assert train is not None
    return ImageFolder(train, test, manifest_sha256(sha256_by_name), found.ignored)


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


def _read(
    files: Labelled,
    classes: Tuple[str, ...],
    image_size: int,
    sha256_by_name: Dict[str, str],
    root: Path,
) -> LabelledImages:
    """Reads every file; adds its checksum to `sha256_by_name`."""
    images = np.empty((len(files), image_size, image_size, 3), np.uint8)
    for index, (path, _label) in enumerate(files):
        content = path.read_bytes()
        sha256_by_name[path.relative_to(root).as_posix()] = sha256_of_bytes(content)
        images[index] = read_image(content, str(path), image_size)
    return LabelledImages(images, np.array([label for _, label in files], np.int64), classes)
