"""The catalogue: what each network's datasets.yaml says of its datasets, and where they lie."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import attrs

from common.cards.model_folders import home, network_files
from common.core.codec import OUTSIDE, at_least, key, one_of, read_yaml
from common.core.errors import UsageError, ZooError
from common.core.text import quoted

SCHEMA_VERSION = 1
FILE_NAME = "datasets.yaml"
DESCRIPTION = "dataset.json"  # what a generator writes beside its files
STATE_FOLDER = ".zoo"
COMPLETE, PARTIAL, ABSENT = "yes", "partly", "no"
NOT_PACKED, TAR, ZIP, GZIP = "none", "tar", "zip", "gz"
PACKINGS = (NOT_PACKED, TAR, ZIP, GZIP)
ALGORITHMS = ("md5", "sha256")
_SAFE_URL = re.compile(r"https://\w|http://(localhost|127\.0\.0\.1)(:\d+)?/")
_NAME = re.compile(r"[a-z0-9_]+")


def _below(instance: Any, attribute: Any, path: str) -> None:
    """A path that stays below the data folder."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"must be a path below the data folder, not {quoted(path)}")


def _all_below(instance: Any, attribute: Any, paths: Iterable[str]) -> None:
    """Paths, or the keys of a mapping, that stay below the data folder."""
    for path in paths:
        _below(instance, attribute, path)


def _urls(instance: Any, attribute: Any, urls: Sequence[str]) -> None:
    """Addresses that nobody on the way can change."""
    if not urls:
        raise ValueError("is empty; name where the file is to be had")
    for url in urls:
        if not _SAFE_URL.match(url):
            raise ValueError(f"has {quoted(url)}; only https is taken")


def _digest_fault(algorithm: str, value: str) -> str:
    digits = 2 * hashlib.new(algorithm).digest_size
    right = re.fullmatch(f"[0-9a-f]{{{digits}}}", value)
    return "" if right else f"must be {digits} hexadecimal digits ({algorithm})"


@attrs.frozen
class Checksum:
    """A published checksum; source says who publishes it."""

    algorithm: str = attrs.field(validator=one_of(*ALGORITHMS))
    value: str
    source: str

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """A value that is none of the algorithm's."""
        fault = _digest_fault(self.algorithm, self.value)
        if fault:
            yield "value", fault


@attrs.frozen
class Contents:
    """The files of an archive by their path in the dataset's folder, with their digests."""

    algorithm: str = attrs.field(validator=one_of(*ALGORITHMS))
    source: str
    files: Dict[str, str] = attrs.field(validator=_all_below)

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """Values that are none of the algorithm's."""
        for path, value in self.files.items():
            fault = _digest_fault(self.algorithm, value)
            if fault:
                yield f"files.{path}", fault


@attrs.frozen
class DataFile:
    """A file to download.

    Attributes:
        path: where it lies below the data folder.
        urls: where it is to be had, tried in this order.
        size: bytes, exactly, where they are published; rough_size: else about how many.
        unpack: none, tar, zip or gz.
        unpacked_at_most: bytes that unpacking may write.
        known: what is known of an archive's files.
        held: other files and folders that the archive brings, below the dataset's folder.
        folder: the dataset's.
    """

    path: str = attrs.field(validator=_below)
    urls: Tuple[str, ...] = attrs.field(validator=_urls)
    size: Optional[int] = attrs.field(default=None, validator=at_least(0))
    rough_size: Optional[int] = attrs.field(
        default=None, validator=at_least(1), metadata=key("about_size")
    )
    checksum: Optional[Checksum] = None
    unpack: str = attrs.field(default=NOT_PACKED, validator=one_of(*PACKINGS))
    unpacked_at_most: int = attrs.field(default=0, validator=at_least(0))
    known: Optional[Contents] = attrs.field(default=None, metadata=key("contents"))
    held: Tuple[str, ...] = attrs.field(default=(), validator=_all_below, metadata=key("holds"))
    folder: str = attrs.field(default="", metadata=OUTSIDE)

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """Sizes that are missing, and names that do not fit."""
        if self.size is None and self.rough_size is None:
            yield "about_size", "is missing where there is no size; it must be at least 1"
        if self.unpack != NOT_PACKED and not self.unpacked_at_most:
            yield "unpacked_at_most", "is missing; it must be at least 1"
        if self.unpack == GZIP and not self.path.endswith(".gz"):
            yield "path", "must end in .gz where unpack is gz"

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return PurePosixPath(self.path).name

    @property
    def about_size(self) -> int:
        """Bytes, for the check of the disk."""
        return self.size if self.size is not None else self.rough_size or 0

    @property
    def contents(self) -> Dict[str, Checksum]:
        """What is known of an archive's files, by their path below the data folder."""
        if self.known is None:
            return {}
        algorithm, source = self.known.algorithm, self.known.source
        return {
            f"{self.folder}/{path}": Checksum(algorithm, value, source)
            for path, value in self.known.files.items()
        }

    @property
    def holds(self) -> Tuple[str, ...]:
        """Other files and folders that the archive brings, below the data folder."""
        return tuple(f"{self.folder}/{path}" for path in self.held)


@attrs.frozen
class Dataset:
    """A dataset of a network: its files, or the module that generates it."""

    title: str
    description: str
    licence: str
    folder: str = attrs.field(validator=_below)
    homepage: str = ""
    files: Tuple[DataFile, ...] = ()
    generated_by: Optional[str] = None
    name: str = attrs.field(default="", metadata=OUTSIDE)
    network: str = attrs.field(default="", metadata=OUTSIDE)

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """Nothing that says where the data comes from, or two things that do."""
        if bool(self.files) == bool(self.generated_by):
            yield "files", "or generated_by must be given, one of the two"

    @property
    def size(self) -> int:
        """Bytes to download; 0 for a generated one."""
        return sum(file.about_size for file in self.files)

    @property
    def size_is_exact(self) -> bool:
        """Whether the size is a published one."""
        return all(file.size is not None for file in self.files)

    @property
    def checksum_source(self) -> str:
        """Who publishes the checksums; where nobody does, what is done in their place."""
        if self.generated_by:
            return "recorded when generated"
        sources = [
            file.checksum.source if file.checksum else "recorded at first use"
            for file in self.files
        ]
        return ", ".join(sorted(set(sources)))


def read_catalogue(root: Path) -> Tuple[Dataset, ...]:
    """All datasets of a checkout.

    Raises:
        ZooError: a file is wrong, or two networks use one name.
    """
    found: Dict[str, Dataset] = {}
    for path in network_files(root, FILE_NAME):
        for dataset in read_datasets(path):
            if dataset.name in found:
                raise ZooError(
                    f"{path}: the dataset {dataset.name} is in another network's {FILE_NAME} too; "
                    "give it another name"
                )
            found[dataset.name] = dataset
    return tuple(found.values())


def find_dataset(root: Path, name: str) -> Dataset:
    """A dataset by its name; capitals and hyphens don't matter.

    Raises:
        UsageError: there is none of this name; the error lists those there are.
    """
    datasets = {dataset.name: dataset for dataset in read_catalogue(root)}
    wanted = name.lower().replace("-", "_")
    if wanted not in datasets:
        known = ", ".join(datasets) or f"none under {root}"
        raise UsageError(f"there is no dataset {name!r}; there are: {known}")
    return datasets[wanted]


@attrs.frozen
class _DatasetsFile:
    """The content of a datasets.yaml."""

    schema_version: int = attrs.field(validator=one_of(SCHEMA_VERSION))
    datasets: Dict[str, Dataset]

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        for name in self.datasets:
            if not _NAME.fullmatch(name):
                yield "datasets", f"has the name {quoted(name)}; use a-z, 0-9 and _"


def read_datasets(path: Path) -> Tuple[Dataset, ...]:
    """The datasets of one network, from its datasets.yaml."""
    return tuple(
        attrs.evolve(
            dataset,
            network=path.parent.name,
            files=tuple(attrs.evolve(file, folder=dataset.folder) for file in dataset.files),
        )
        for dataset in read_yaml(path, _DatasetsFile).datasets.values()
    )


# --- where a dataset lies below the data folder --------------------------------------------------


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


def is_there(dataset: Dataset, file: DataFile, root: Path) -> bool:
    """Whether all that a file brings can be used."""
    return all((root / path).exists() for path in usable_paths(dataset, file))


def presence(dataset: Dataset, data_path: Path) -> str:
    """Whether a dataset is there: yes, partly or no. Looks at names only."""
    root = data_root(data_path, dataset)
    paths = [path for file in dataset.files for path in usable_paths(dataset, file)]
    there = [(root / path).exists() for path in paths or [f"{dataset.folder}/{DESCRIPTION}"]]
    if all(there):
        return COMPLETE
    return PARTIAL if any(there) else ABSENT
