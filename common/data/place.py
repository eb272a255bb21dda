"""Where the files of a dataset lie below the data folder, and which of them are there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

from common.cards.model_folders import home
from common.data.catalogue import GZIP, NOT_PACKED, DataFile, Dataset

DESCRIPTION = "dataset.json"  # what a generator writes beside its files
STATE_FOLDER = ".zoo"
COMPLETE, PARTIAL, ABSENT = "yes", "partly", "no"


def default_data_path() -> Path:
    """Where datasets lie unless a flag says otherwise: $ZOO_DATA, else data/ in the zoo's home."""
    return Path(os.environ.get("ZOO_DATA") or home() / "data").expanduser()


def data_root(data_path: Path, dataset: Dataset) -> Path:
    """The data folder: `data_path`, or its parent where it names the dataset's own folder."""
    path = Path(data_path)
    names_the_dataset = path.absolute().name == dataset.folder
    if names_the_dataset and not (path / dataset.folder).exists():
        return path.absolute().parent
    return path


def state_folder(root: Path, dataset: Dataset) -> Path:
    """Where the lock, the recorded checksums and unfinished work of a dataset are kept."""
    return root / STATE_FOLDER / dataset.name


def usable_paths(dataset: Dataset, file: DataFile) -> List[str]:
    """What has to be there for a file to be used as it is, below the data folder."""
    if file.unpack == NOT_PACKED:
        return [file.path]
    if file.unpack == GZIP:
        return [file.path[: -len(".gz")]]
    known = [*file.contents, *file.holds]
    return known or [dataset.folder]


def all_usable_paths(dataset: Dataset) -> List[str]:
    """What has to be there for the dataset to be used."""
    if dataset.generated_by:
        return [f"{dataset.folder}/{DESCRIPTION}"]
    return [path for file in dataset.files for path in usable_paths(dataset, file)]


def is_there(dataset: Dataset, file: DataFile, root: Path) -> bool:
    """Whether all that a file brings can be used."""
    return all((root / path).exists() for path in usable_paths(dataset, file))


def presence(dataset: Dataset, data_path: Path) -> str:
    """Whether a dataset is there: yes, partly or no. Looks at names only."""
    root = data_root(data_path, dataset)
    there = [(root / path).exists() for path in all_usable_paths(dataset)]
    if all(there):
        return COMPLETE
    return PARTIAL if any(there) else ABSENT
