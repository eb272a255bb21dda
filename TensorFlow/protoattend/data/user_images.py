"""Image files of the user's own, to be decided on and explained."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from common.data.image_files import decode_image, images_below
from protoattend.data.labelled_images import name_of_file


def read_user_images(
    paths: Sequence[str], image_shape: Tuple[int, int, int]
) -> Tuple[Tuple[str, ...], np.ndarray]:
    """PNG and JPEG files, and those below folders, in the shape of a network's input.

    Args:
        paths: files or folders.
        image_shape: (H, W, C): resized to cover H x W, then the centre is cut out; grey (ITU-R
            601) where C is 1, else RGB.

    Returns:
        The files' names, N of them, and uint8 (N, H, W, C).

    Raises:
        ZooError: no files, or one that is missing, unreadable or damaged; the line names it.
    """
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise ZooError("no images given: name PNG or JPEG files, or folders of them")
    height, width, channels = image_shape
    images = np.empty((len(files), height, width, channels), np.uint8)
    for image, file in zip(images, files):
        image[...] = decode_image(_content(file), str(file), (height, width), channels)
    return tuple(name_of_file(file) for file in files), images


def _files(path: Path) -> List[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = images_below(path, lambda line: print(f"note: {line}", flush=True))
    except OSError as error:
        raise ZooError(
            f"{error.filename or path}: can't be read ({error.strerror or error})"
        ) from None
    if not found:
        raise ZooError(f"{path}: no PNG or JPEG files in it")
    return found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ZooError(f"{path}: can't be read ({error.strerror or error})") from None
