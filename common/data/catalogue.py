"""The catalogue: what each network's datasets.yaml says of its datasets and their files."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import List, Optional, Tuple
from urllib.parse import urlsplit

from common.cards.model_folders import FRAMEWORK_FOLDERS
from common.core.errors import UsageError, ZooError
from common.core.section import Section, load_yaml

SCHEMA_VERSION = 1
FILE_NAME = "datasets.yaml"
NOT_PACKED, TAR, ZIP, GZIP = "none", "tar", "zip", "gz"
PACKINGS = (NOT_PACKED, TAR, ZIP, GZIP)
ALGORITHMS = ("md5", "sha256")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_NAME = re.compile(r"[a-z0-9_]+")


@dataclasses.dataclass(frozen=True)
class Checksum:
    """A published checksum; source says who publishes it."""

    algorithm: str
    value: str
    source: str


@dataclasses.dataclass(frozen=True)
class Content:
    """A file that an archive is known to hold; path is below the data folder."""

    path: str
    checksum: Checksum


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A file to download.

    Attributes:
        path: where it lies below the data folder.
        urls: where it is to be had, tried in this order.
        size: bytes, exactly, where they are published.
        about_size: bytes, roughly, for the check of the disk.
        unpack: none, tar, zip or gz.
        unpacked_at_most: bytes that unpacking may write.
        contents: what is known of an archive's files.
        holds: other files and folders that the archive brings, below the data folder.
    """

    path: str
    urls: Tuple[str, ...]
    size: Optional[int]
    about_size: int
    checksum: Optional[Checksum]
    unpack: str
    unpacked_at_most: int
    contents: Tuple[Content, ...]
    holds: Tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return PurePosixPath(self.path).name


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset of a network: its files, or the module that generates it."""

    name: str
    network: str
    title: str
    description: str
    licence: str
    homepage: str
    folder: str
    files: Tuple[DataFile, ...]
    generated_by: Optional[str]

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


def catalogue_paths(root: Path) -> List[Path]:
    """The datasets.yaml files under a checkout, in order of framework and network."""
    return [
        path
        for framework in FRAMEWORK_FOLDERS
        for path in sorted(Path(root).glob(f"{framework}/*/{FILE_NAME}"))
    ]


def read_catalogue(root: Path) -> Tuple[Dataset, ...]:
    """All datasets of a checkout.

    Raises:
        ZooError: a file is wrong, or two networks use one name.
    """
    found: List[Dataset] = []
    for path in catalogue_paths(root):
        for dataset in read_datasets(path):
            if any(other.name == dataset.name for other in found):
                raise ZooError(
                    f"{path}: the dataset {dataset.name} is in another network's "
                    f"{FILE_NAME} too; give it "
                    "another name"
                )
            found.append(dataset)
    return tuple(found)


def find_dataset(root: Path, name: str) -> Dataset:
    """A dataset by its name; capitals and hyphens don't matter.

    Raises:
        UsageError: there is none of this name; the error lists those there are.
    """
    datasets = read_catalogue(root)
    for dataset in datasets:
        if dataset.name == name.lower().replace("-", "_"):
            return dataset
    raise UsageError(
        "there is no dataset {!r}; there are: {}".format(
            name, ", ".join(dataset.name for dataset in datasets) or f"none under {root}"
        )
    )


def read_datasets(path: Path) -> Tuple[Dataset, ...]:
    """The datasets of one network, from its datasets.yaml."""
    top = load_yaml(path)
    version = top.value("schema_version", int)
    if version != SCHEMA_VERSION:
        top.fail("schema_version", f"must be {SCHEMA_VERSION}, not {version}")
    found = [
        _dataset(top, name, section, path.parent.name)
        for name, section in top.sections("datasets").items()
    ]
    top.done()
    return tuple(found)


def _dataset(top: Section, name: str, section: Section, network: str) -> Dataset:
    if not _NAME.fullmatch(name):
        top.fail("datasets", f"has the name {name!r}; use a-z, 0-9 and _")
    folder = _relative(section, "folder", section.value("folder", str))
    files = tuple(_file(part, folder) for part in section.section_list("files"))
    generated_by = section.optional("generated_by", str)
    if bool(files) == bool(generated_by):
        section.fail("files", "or generated_by must be given, one of the two")
    dataset = Dataset(
        name=name,
        network=network,
        title=section.value("title", str),
        description=section.value("description", str),
        licence=section.value("licence", str),
        homepage=section.value("homepage", str, ""),
        folder=folder,
        files=files,
        generated_by=generated_by,
    )
    section.done()
    return dataset


def _file(section: Section, folder: str) -> DataFile:
    size = section.optional("size", int)
    unpack = section.choice("unpack", PACKINGS, NOT_PACKED)
    file = DataFile(
        path=_relative(section, "path", section.value("path", str)),
        urls=_urls(section),
        size=size,
        about_size=size if size is not None else section.positive("about_size"),
        checksum=_checksum(section.section("checksum")) if section.has("checksum") else None,
        unpack=unpack,
        unpacked_at_most=0 if unpack == NOT_PACKED else section.positive("unpacked_at_most"),
        contents=_contents(section.section("contents"), folder) if section.has("contents") else (),
        holds=tuple(
            "{}/{}".format(folder, _relative(section, "holds", path))
            for path in section.texts("holds")
        ),
    )
    if unpack == GZIP and not file.path.endswith(".gz"):
        section.fail("path", "must end in .gz where unpack is gz")
    section.done()
    return file


def _urls(section: Section) -> Tuple[str, ...]:
    urls = section.texts("urls")
    if not urls:
        section.fail("urls", "is empty; name where the file is to be had")
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (
            parts.scheme == "http" and parts.hostname in LOCAL_HOSTS
        ):
            section.fail("urls", f"has {url!r}; only https is taken")
    return urls


def _checksum(section: Section) -> Checksum:
    algorithm = section.choice("algorithm", ALGORITHMS)
    value = _digest(section, "value", algorithm)
    source = section.value("source", str)
    section.done()
    return Checksum(algorithm, value, source)


def _contents(section: Section, folder: str) -> Tuple[Content, ...]:
    algorithm = section.choice("algorithm", ALGORITHMS)
    source = section.value("source", str)
    files = section.section("files")
    section.done()
    return tuple(
        Content(
            f"{folder}/{_relative(files, name, name)}",
            Checksum(algorithm, _digest(files, name, algorithm), source),
        )
        for name in files.keys()  # noqa: SIM118
    )


def _digest(section: Section, key: str, algorithm: str) -> str:
    value = section.value(key, str)
    digits = 2 * hashlib.new(algorithm).digest_size
    if not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
        section.fail(key, f"must be {digits} hexadecimal digits ({algorithm})")
    return str(value)


def _relative(section: Section, key: str, path: str) -> str:
    """A path that stays below the data folder."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        section.fail(key, f"must be a path below the data folder, not {path!r}")
    return path
