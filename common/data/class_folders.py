"""Images in one sub-folder per class: which files there are, of which class, in which split."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

from common.core.errors import ZooError
from common.data.image_files import SUFFIXES

TRAIN_FOLDER, TEST_FOLDER = "train", "test"
_LAYOUT = "CLASS/IMAGE.png, or train/CLASS/IMAGE.png with test/CLASS/IMAGE.png, is needed"

Labelled = Tuple[Tuple[Path, int], ...]  # files with the numbers of their classes


@dataclass(frozen=True)
class ClassFolders:
    """What a folder holds, sorted by class and name; hidden files and folders are left out.

    Attributes:
        classes: the folders' names.
        test: None where there is no folder of test images.
        ignored: folders beside train and test, which are not looked at.
    """

    root: Path
    classes: Tuple[str, ...]
    train: Labelled
    test: Optional[Labelled]
    ignored: Tuple[str, ...]

    def notices(self) -> Tuple[str, ...]:
        """What a user should be told."""
        return (
            ()
            if not self.ignored
            else (
                "{}: beside train and test, {} is not looked at".format(
                    self.root, ", ".join(self.ignored)
                ),
            )
        )


def find_class_folders(data_path: Optional[str], dataset: str) -> ClassFolders:
    """The PNG and JPEG files of the class folders in `data_path`, or in its train/ and test/.

    Args:
        dataset: the name by which the user asked for such a folder.

    Raises:
        ZooError: a missing or empty folder, or one that is not of this form.
        OSError: one that can't be read.
    """
    root = _checked_folder(data_path, dataset)
    folders = _sub_folders(root)
    if TRAIN_FOLDER not in folders or TEST_FOLDER not in folders:
        classes = _classes(root)
        return ClassFolders(root, classes, _files(root, classes), None, ())
    classes = _classes(root / TRAIN_FOLDER)
    _check_same_classes(root / TEST_FOLDER, classes)
    return ClassFolders(
        root,
        classes,
        _files(root / TRAIN_FOLDER, classes),
        _files(root / TEST_FOLDER, classes),
        tuple(sorted(set(folders) - {TRAIN_FOLDER, TEST_FOLDER})),
    )


def unreadable(root: str, error: OSError) -> ZooError:
    """What a user is told of a folder or file that can't be read."""
    return ZooError(
        f"{error.filename or root}: can't be read ({error.strerror or error}): check its "
        "permissions"
    )


def _checked_folder(data_path: Optional[str], dataset: str) -> Path:
    if not data_path:
        raise ZooError(f"{dataset} needs a folder with one sub-folder per class: give --data_path")
    root = Path(data_path)
    if not root.exists():
        raise ZooError(f"{root}: no such folder: give --data_path of the images")
    if not root.is_dir():
        raise ZooError(f"{root}: a file, not a folder: {_LAYOUT}")
    return root


def _sub_folders(folder: Path) -> List[str]:
    with os.scandir(str(folder)) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )


def _classes(folder: Path) -> Tuple[str, ...]:
    classes = tuple(_sub_folders(folder))
    if len(classes) < 2:
        raise ZooError(f"{folder}: {len(classes)} class folders, at least 2 are needed: {_LAYOUT}")
    return classes


def _check_same_classes(folder: Path, classes: Tuple[str, ...]) -> None:
    different = sorted(set(_sub_folders(folder)) ^ set(classes))
    if different:
        raise ZooError(
            "{}: other classes than for training ({}): use the same class folders".format(
                folder, ", ".join(different)
            )
        )


def _files(folder: Path, classes: Tuple[str, ...]) -> Labelled:
    return tuple(
        (path, label) for label, name in enumerate(classes) for path in _image_files(folder / name)
    )


def _image_files(folder: Path) -> List[Path]:
    with os.scandir(str(folder)) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")
        )
    if not names:
        raise ZooError(f"{folder}: no PNG or JPEG files in it: {_LAYOUT}")
    return [folder / name for name in names]
