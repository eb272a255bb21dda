"""Datasets: fetching, checking and reading them; what one module alone needs is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from common.core.errors import ZooError

IMAGE_FOLDER, OLD_NAME = "image_folder", "images"  # what --dataset calls folders of classes


def dataset_name(text: str) -> str:
    """A dataset's name, image_folder for the name that it had before."""
    return IMAGE_FOLDER if text == OLD_NAME else text


def readable_name(path: Path) -> str:
    """A file's name as text that can be written anywhere; what is no UTF-8 becomes a sign."""
    return os.fsencode(str(path)).decode("utf-8", "replace")


def folder_given(data_path: Optional[str], dataset: str, needs: str) -> Path:
    """The folder that --data_path names; ZooError, where there is none, says what it `needs`."""
    if not data_path:
        raise ZooError(f"{dataset} needs {needs}: give --data_path")
    path = Path(data_path)
    if not path.exists():
        raise ZooError(f"{readable_name(path)}: no such folder: give --data_path of {needs}")
    if not path.is_dir():
        raise ZooError(f"{readable_name(path)}: a file, not a folder: give its folder")
    return path


def bytes_of(path: Path) -> bytes:
    """The bytes of a dataset's file; ZooError where they can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ZooError(
            f"{path}: can't be read ({error.strerror or error}): give a readable folder"
        ) from None
