"""Scenes prepared once: .npy arrays in a folder of their own, read through memory maps.

A folder is written aside and gets its name when it is whole. It is named by a digest of what it
was made from, so that it can't be mistaken for another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import struct
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.codec import plain, read_json, write_json
from common.core.errors import ZooError, first_line
from common.core.files import TEMPORARY_PREFIX, FolderLock, make_folder, sha256_of, sync_folder
from common.core.terminal import Terminal
from common.core.text import duration
from common.data.arrays import manifest_sha256
from common.data.progress import DRAW_EVERY
from slot_attention.data.geometry import Geometry
from slot_attention.data.scenes import SceneDataset, SceneFacts, Scenes, SceneSource, Split

MANIFEST, SCHEMA_VERSION = "dataset.json", 2
CACHE_NAME = ".slot_attention_cache"
ARRAYS = ("images", "labels", "targets", "objects")  # those of a scene, in its order
_FEW = 512  # scenes that are sooner done here than by processes that have to start
_TELL_EVERY = 10.0  # seconds, in a log
_NPY_HEADER = 118


@dataclasses.dataclass(frozen=True)
class Manifest:
    """dataset.json, which makes a folder of arrays a dataset.

    recipe, files: of synthetic scenes how they were drawn, and each array's name and sha256.
    """

    schema_version: int
    facts: SceneFacts
    geometry: Geometry
    counts: Dict[str, int]
    recipe: Dict[str, Any] = dataclasses.field(default_factory=dict)
    files: Tuple[Dict[str, str], ...] = ()


def prepare(
    source: SceneSource,
    geometry: Geometry,
    kept: bool = True,
    cache_path: Optional[str] = None,
    workers: int = 1,
    splits: Optional[Sequence[str]] = None,
) -> SceneDataset:
    """The source's scenes at a geometry: those of an earlier run, or prepared now.

    Of several processes that want the same one prepares while the others wait.

    Args:
        kept: on the disk for later runs; else in memory.
        cache_path: the folder to keep them in; None for one beside the data, or, where the data
            can't be written to, one in the user's cache folder.
        workers: processes that decode and resize.
        splits: those that are wanted; None for all.

    Raises:
        ZooError: damaged data, a split without a scene.
    """
    if source.prepared is not None and geometry.keeps_size:
        return source.prepared
    wanted = {
        name: count for name, count in source.counts.items() if splits is None or name in splits
    }
    if not kept:
        with tempfile.TemporaryDirectory() as temporary:
            _make(source, geometry, workers, wanted, Path(temporary))
            return open_arrays(Path(temporary), mapped=False)
    place = _cache_folder(source.folder, cache_path)
    folder = place / _name(source, geometry)  # of all splits
    if not folder.exists() and len(wanted) < len(source.counts):
        folder = folder.with_name("-".join([folder.name, *wanted]))
    if not folder.exists():
        with waited_for(place):
            if not folder.exists():
                with written_aside(folder) as making:
                    _make(source, geometry, workers, wanted, making)
    return open_arrays(folder)


def _make(
    source: SceneSource, geometry: Geometry, workers: int, wanted: Mapping[str, int], folder: Path
) -> None:
    facts, total = source.facts, sum(wanted.values())
    workers = 1 if total < _FEW else workers
    with contextlib.closing(source.read(geometry, workers, list(wanted))) as scenes:
        told = followed(scenes, f"preparing {facts.name}", total)
        counts = write_arrays(folder, facts, geometry, told)
    for split in wanted:
        if not counts.get(split):
            hint = "more scenes are needed"
            if "number of objects" in facts.predicate:
                hint = "allow more objects (--max_objects)"
            raise ZooError(
                f"{facts.name}: split {split} has no scene left ({facts.predicate}); {hint}"
            )


def write_arrays(
    folder: Path,
    facts: SceneFacts,
    geometry: Geometry,
    scenes: Scenes,
    recipe: Optional[Mapping[str, Any]] = None,
) -> Dict[str, int]:
    """Writes scenes as <split>/<array>.npy and dataset.json; returns the counts by split.

    Args:
        recipe: how they were drawn, where the arrays are the origin: then their sums are told.
    """
    files: Dict[Tuple[str, str], _NpyFile] = {}
    try:
        for split, scene in scenes:
            for name, value in zip(ARRAYS, scene):
                if value is None:
                    continue
                row = np.asarray(value)
                if (split, name) not in files:
                    files[split, name] = _NpyFile(folder / split / f"{name}.npy", row)
                files[split, name].add(row)
    finally:
        for file in files.values():
            file.close()
    counts = {split: file.count for (split, name), file in files.items() if name == "images"}
    sums: Dict[str, str] = {}
    if recipe is not None:
        paths = sorted(folder.rglob("*.npy"))
        sums = {str(path.relative_to(folder)): sha256_of(path) for path in paths}
        facts = dataclasses.replace(facts, manifest_sha256=manifest_sha256(sums))
    told = tuple({"file": name, "sha256": value} for name, value in sums.items())
    manifest = Manifest(SCHEMA_VERSION, facts, geometry, counts, dict(recipe or {}), told)
    write_json(folder / MANIFEST, manifest)
    return counts


def read_manifest(folder: Path) -> Manifest:
    """What a folder's dataset.json says.

    Raises:
        ZooError: damaged, or of an earlier version.
    """
    try:
        found = read_json(folder / MANIFEST, Manifest)
    except ZooError as error:
        raise _unusable(folder, first_line(error)) from error
    if found.schema_version != SCHEMA_VERSION:
        raise _unusable(folder, f"form {found.schema_version}, here {SCHEMA_VERSION}")
    return found


def _unusable(folder: Path, reason: Any) -> ZooError:
    return ZooError(
        f"{folder} is damaged or of another version ({reason}): move it away and prepare the "
        "dataset again"
    )


def open_arrays(folder: Path, mapped: bool = True) -> SceneDataset:
    """The dataset that a folder of arrays holds.

    Raises:
        ZooError: something is missing or damaged.
    """
    manifest = read_manifest(folder)
    facts, splits = manifest.facts, {}
    names = ["images", *["labels"] * facts.has_masks, *["targets"] * facts.has_targets, "objects"]
    try:
        for split, count in manifest.counts.items():
            found: Dict[str, Any] = dict.fromkeys(ARRAYS)
            for name in names:
                path = str(folder / split / f"{name}.npy")
                found[name] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
                if len(found[name]) != count:
                    raise ValueError(f"{path} holds {len(found[name])} scenes, not {count}")
            splits[split] = Split(**found)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(folder, error) from error
    return SceneDataset(facts, manifest.geometry, splits)


class _NpyFile:
    """A .npy file that grows row by row; a full disk is an OSError and not a dead process."""

    def __init__(self, path: Path, row: np.ndarray) -> None:
        path.parent.mkdir(exist_ok=True)
        self._stream = open(str(path), "wb", buffering=1 << 20)  # noqa: SIM115 (see close)
        self._dtype, self._shape, self.count = row.dtype, row.shape, 0
        self._stream.write(self._header())

    def add(self, row: np.ndarray) -> None:
        """Appends a row, like the first one."""
        if row.shape != self._shape:
            raise ValueError(f"a row of {row.shape} among rows of {self._shape}")
        self._stream.write(np.ascontiguousarray(row).tobytes())
        self.count += 1

    def close(self) -> None:
        """Writes how many rows there are, and waits for the disk."""
        with self._stream as stream:
            stream.seek(0)
            stream.write(self._header())
            stream.flush()
            os.fsync(stream.fileno())

    def _header(self) -> bytes:
        """Version 1.0 of the format, of one length whatever the number of rows."""
        shape = (self.count, *self._shape)
        text = repr({"descr": self._dtype.str, "fortran_order": False, "shape": shape})
        padded = text.encode().ljust(_NPY_HEADER - 1) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", _NPY_HEADER) + padded


def _name(source: SceneSource, geometry: Geometry) -> str:
    """A folder's name, told by all that decides its content."""
    files: List[Any] = []
    for path in source.files:
        stat = os.stat(str(path))
        name = os.path.relpath(str(path), str(source.folder))
        files.append([name, stat.st_size, stat.st_mtime_ns])
    whole = plain([SCHEMA_VERSION, source.facts, geometry, files])
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode("utf-8")).hexdigest()[:16]
    return "{}-{}x{}-{}".format(source.facts.name, *geometry.resolution, digest)


def _cache_folder(data_folder: Path, wanted: Optional[str]) -> Path:
    if wanted:
        return make_folder(Path(wanted), "--cache_path")
    with contextlib.suppress(ZooError):
        return make_folder(data_folder / CACHE_NAME, "--cache_path")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return make_folder(Path(home) / "attention-modelzoo" / "slot_attention", "--cache_path")


@contextlib.contextmanager
def waited_for(folder: Path) -> Iterator[None]:
    """Holds a folder, waiting while another process does."""
    lock, told = FolderLock(folder), False
    while not lock.acquire():
        if not told:
            print(f"waiting for process {lock.holder()}, which prepares in {folder}", flush=True)
        told = True
        time.sleep(0.5)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A folder that gets its name when the block has ended well; what a killed one left goes."""
    making = folder.with_name(TEMPORARY_PREFIX + folder.name)
    shutil.rmtree(str(making), ignore_errors=True)
    making.mkdir()
    try:
        yield making
        os.rename(str(making), str(folder))
        sync_folder(folder.parent)
    except BaseException as error:
        shutil.rmtree(str(making), ignore_errors=True)
        if isinstance(error, OSError):  # a full disk, perhaps
            error.filename = str(folder)
        raise


def followed(
    scenes: Iterable[Any], label: str, total: int, terminal: Optional[Terminal] = None
) -> Iterator[Any]:
    """Yields the scenes and tells how far they are: one line on a terminal, lines in a log."""
    terminal = terminal or Terminal()
    show = terminal.status if terminal.interactive else terminal.say
    began = told = time.monotonic()
    for done, scene in enumerate(scenes, start=1):
        yield scene
        now = time.monotonic()
        if now - told >= (DRAW_EVERY if terminal.interactive else _TELL_EVERY):
            told, pace = now, done / (now - began)
            show(
                f"{label}: {done:,} of {total:,} scenes ({100 * done // max(total, 1)} %), "
                f"{pace:.0f}/s, {duration(max(total - done, 0) / pace)} left"
            )
    terminal.status("")
