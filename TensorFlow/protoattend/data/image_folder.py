"""Labelled images from a folder with one sub-folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from common.data.class_folders import ClassFolders, find_class_folders, unreadable
from common.data.image_files import decode_image
from protoattend.data.labelled_images import LabelledImages, name_of_file
from protoattend.data.source import Source

Pictures = List[Tuple[Path, np.ndarray]]  # files with their pixels


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
    try:
        return _load(find_class_folders(data_path, "image_folder"), image_size)
    except OSError as error:
        raise unreadable(str(data_path), error) from None


def _load(found: ClassFolders, image_size: Optional[int]) -> Source:
    size = None if image_size is None else (image_size, image_size)
    files = found.train + (found.test or ())
    whole = _labelled(
        [(path, decode_image(path.read_bytes(), str(path), size)) for path, _ in files],
        [label for _, label in files],
        found.root,
    )
    if found.test is None:
        return Source(whole, None, found.classes, "all class folders")
    count = len(found.train)
    return Source(
        whole.take(np.arange(count)),
        whole.take(np.arange(count, len(whole))),
        found.classes,
        "the folder train",
        "the folder test",
        found.notices(),
    )


def _labelled(files: Pictures, labels: Sequence[int], root: Path) -> LabelledImages:
    first_path, first = files[0]
    for path, pixels in files:
        if pixels.shape[:2] != first.shape[:2]:
            raise ZooError(
                "{} has {} x {} pixels, {} has {} x {}: give --img_size to resize all".format(
                    path, *pixels.shape[1::-1], first_path, *first.shape[1::-1]
                )
            )
    channels = max(pixels.shape[2] for _, pixels in files)
    images = np.empty((len(files),) + first.shape[:2] + (channels,), np.uint8)
    for image, (_, pixels) in zip(images, files):
        image[...] = pixels  # grey is repeated over RGB, as Pillow converts it
    names = [name_of_file(path.relative_to(root)) for path, _ in files]
    return LabelledImages(images, np.array(labels, np.int32), np.array(names))
