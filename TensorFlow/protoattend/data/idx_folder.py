"""Fashion-MNIST, MNIST, and data of one's own in their four idx files."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from common.data.catalogue import FILE_NAME, read_datasets
from common.data.manifest import sha256_of_bytes
from protoattend.data.idx import parse_idx
from protoattend.data.labelled_images import LabelledImages
from protoattend.data.source import Source, numbered_names

CATALOGUE = Path(__file__).resolve().parent.parent / FILE_NAME
CLASS_NAMES = {
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "mnist": numbered_names(10),
}
FOLDERS = {
    "fashion_mnist": ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "raw"),
    "mnist": ("mnist", "MNIST/raw", "raw", "MNIST"),
}
_PARTS = {"train": "train", "test": "t10k"}
_KINDS = {"images": ("images-idx3-ubyte", 3), "labels": ("labels-idx1-ubyte", 1)}


@dataclass(frozen=True)
class _Published:
    """The dataset and the name that a file is published under."""

    dataset: str
    name: str


def load_idx_folder(name: str, data_path: Optional[str]) -> Source:
    """A dataset of idx files from its folder, or from the folder that holds it.

    A file is read whether gz or not. One that is another than the published one is told in
    `notices`, since data of one's own comes in this format too.

    Args:
        name: "fashion_mnist" or "mnist": the folders to look in, and the class names.

    Raises:
        ZooError: no or an incomplete folder, a damaged file, counts that differ, or a file that
            is published as another dataset.
    """
    folder = find_folder(name, data_path)
    parts, differing = {}, []
    for part in _PARTS:
        parts[part], unknown = _read_part(name, folder, part)
        differing += unknown
    sizes = {images.images.shape[1:] for images in parts.values()}
    if len(sizes) > 1:
        raise ZooError(
            "{}: training images of {} x {} pixels, test images of {} x {}".format(
                folder, *parts["train"].images.shape[1:3], *parts["test"].images.shape[1:3]
            )
        )
    notices = (
        ()
        if not differing
        else (
            "{}: {} differ(s) from the published {}: read as data of your own".format(
                folder, ", ".join(differing), name
            ),
        )
    )
    return Source(
        parts["train"],
        parts["test"],
        CLASS_NAMES[name],
        "the train files",
        "the t10k files",
        notices,
    )


def find_folder(name: str, data_path: Optional[str]) -> Path:
    """The folder with a dataset's idx files: `data_path`, or one below it."""
    if not data_path:
        raise ZooError(f"{name} needs the folder of its idx files: give --data_path")
    path = Path(data_path)
    if path.is_file():
        path = path.parent
    if not path.is_dir():
        raise ZooError(f"{path}: no such folder: give --data_path of {name}")
    for folder in [path] + [path / below for below in FOLDERS[name]]:
        if any(_find(folder, part, "images") for part in _PARTS):
            return folder
    raise ZooError(
        "{}: no {}-{} in it: give --data_path of {}'s idx files, or fetch them: "
        "zoo data prepare {} --data_path={}".format(
            path, _PARTS["train"], _KINDS["images"][0], name, name, path
        )
    )


def _find(folder: Path, part: str, kind: str) -> Optional[Path]:
    """A part's file; the packed one first, for it can be compared with the published one."""
    base = f"{_PARTS[part]}-{_KINDS[kind][0]}"
    for name in (base + ".gz", base, base.replace("-idx", ".idx")):
        if (folder / name).is_file():
            return folder / name
    return None


def _read_part(name: str, folder: Path, part: str) -> Tuple[LabelledImages, List[str]]:
    """Training or test images, and the names of the files that are not the published ones."""
    arrays: Dict[str, np.ndarray] = {}
    differing: List[str] = []
    for kind in sorted(_KINDS, reverse=True):  # labels first: they tell most cheaply what this is
        path = _find(folder, part, kind)
        if path is None:
            raise ZooError(
                f"{folder}: no {_PARTS[part]}-{_KINDS[kind][0]} or .gz of it: complete the folder"
            )
        arrays[kind], is_published = _read_file(name, path, _KINDS[kind][1])
        differing += [] if is_published else [path.name]
    images, labels = arrays["images"], arrays["labels"]
    if len(images) != len(labels):
        raise ZooError(
            f"{folder}: {len(images)} {part} images with {len(labels)} labels: as many of "
            "both are needed"
        )
    return LabelledImages(images[..., np.newaxis], labels.astype(np.int32)), differing


def _read_file(name: str, path: Path, dimensions: int) -> Tuple[np.ndarray, bool]:
    """A file's values, and whether nothing speaks against its being the published one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ZooError(
            f"{path}: can't be read ({error.strerror or error}): give a readable folder"
        ) from None
    found = _published_files().get(sha256_of_bytes(content))
    if found is not None and found.dataset != name:
        raise ZooError(
            f"{path}: this is {found.dataset}'s file {found.name}, not {name}'s: give "
            "another --data_path or "
            "dataset"
        )
    known = _Published(name, path.name) in _published_files().values()
    try:
        return parse_idx(content, str(path), dimensions), found is not None or not known
    except ZooError as error:
        remedy = "get the file again"
        if known and found is None:
            remedy = f"not the published file: get it again, zoo data prepare {name}"
        raise ZooError(f"{error}: {remedy}") from None


@functools.lru_cache(maxsize=None)
def _published_files() -> Dict[str, _Published]:
    """The catalogue's idx files by their sha256."""
    return {
        file.checksum.value: _Published(dataset.name, file.name)
        for dataset in read_datasets(CATALOGUE)
        for file in dataset.files
        if file.checksum is not None
    }
