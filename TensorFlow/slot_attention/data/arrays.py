"""Scenes prepared once: .npy arrays in a folder of their own, read through memory maps.

A folder is written aside and gets its name when it is whole. It is named by a digest of what it
was made from, so that it can't be mistaken for another.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import struct
import tempfile
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    TypeVar,
)

import numpy as np

from common.core.errors import InfrastructureError, ZooError
from common.core.files import (
    TEMPORARY_PREFIX,
    FolderLock,
    make_folder,
    sync_folder,
    write_atomically,
)
from common.core.terminal import Terminal
from common.core.text import duration
from common.data.progress import DRAW_EVERY
from slot_attention.data.geometry import Geometry
from slot_attention.data.scenes import Scene, SceneDataset, SceneFacts, SceneSource, Split

MANIFEST, SCHEMA_VERSION = "dataset.json", 2
CACHE_NAME = ".slot_attention_cache"
_JOBS_AT_ONCE, _AHEAD = 16, 3  # in a task of a worker; tasks per worker under way or done
_FEW = 512  # scenes that are sooner done here than by processes that have to start
_TELL_EVERY = 10.0  # seconds, in a log
_NPY_HEADER = 118
Item = TypeVar("Item")


def prepare(
    source: SceneSource, geometry: Geometry, kept: bool, cache_path: Optional[str], workers: int
) -> SceneDataset:
    """The source's scenes at a geometry: those of an earlier run, or prepared now.

    Of several processes that want the same one prepares while the others wait.

    Args:
        kept: on the disk for later runs; else in memory.
        cache_path: the folder to keep them in; None for one beside the data, or, where the data
            can't be written to, one in the user's cache folder.
        workers: processes that decode and resize.

    Raises:
        ZooError: damaged data, a split without a scene, no room.
    """
    if source.prepared is not None and geometry.keeps_size:
        return source.prepared
    if not kept:
        with tempfile.TemporaryDirectory() as temporary:
            _make(source, geometry, Path(temporary), workers)
            return open_arrays(Path(temporary), mapped=False)
    place = _cache_folder(source.folder, cache_path)
    folder = place / _name(source, geometry)
    if not folder.exists():
        with waited_for(place):
            if not folder.exists():
                _check_space(source, geometry, place)
                with written_aside(folder) as making:
                    _make(source, geometry, making, workers)
    return open_arrays(folder)


def _make(source: SceneSource, geometry: Geometry, folder: Path, workers: int) -> None:
    name, workers = source.facts.name, 1 if source.total < _FEW else workers
    with contextlib.closing(source.read(geometry, workers)) as scenes:
        counts = write_splits(folder, followed(scenes, f"preparing {name}", source.total))
    for split in source.splits:
        if not counts.get(split):
            hint = "more scenes are needed"
            if "number of objects" in source.facts.predicate:
                hint = "allow more objects (--max_objects)"
            raise ZooError(
                f"{name}: split {split} has no scene left ({source.facts.predicate}); {hint}"
            )
    write_manifest(folder, source.facts, geometry, counts)


def write_manifest(
    folder: Path,
    facts: SceneFacts,
    geometry: Geometry,
    counts: Mapping[str, int],
    **more: Any,
) -> None:
    """Writes dataset.json, which makes a folder of arrays a dataset."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "facts": dataclasses.asdict(facts),
        "geometry": dataclasses.asdict(geometry),
        "counts": dict(counts),
        **more,
    }
    write_atomically(folder / MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_manifest(folder: Path) -> Dict[str, Any]:
    """The content of a folder's dataset.json.

    Raises:
        ZooError: damaged, or of an earlier version.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text("utf-8"))
        version = content["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{path} can't be understood ({error}); prepare the dataset again") from None
    if version != SCHEMA_VERSION:
        raise ZooError(
            f"{folder} was prepared by another version (form {version}, here {SCHEMA_VERSION}): "
            "move it away and prepare the dataset again, or give another --data_path"
        )
    return dict(content)


def open_arrays(folder: Path, mapped: bool = True) -> SceneDataset:
    """The dataset that a folder of arrays holds.

    Raises:
        ZooError: something is missing or damaged.
    """
    content = read_manifest(folder)
    try:
        facts = dict(content["facts"], image_size=tuple(content["facts"]["image_size"]))
        geometry = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content["geometry"].items()
        }
        splits = {
            name: _open_split(folder / name, mapped)
            for name, count in content["counts"].items()
            if count
        }
        if any(len(split.images) != content["counts"][name] for name, split in splits.items()):
            raise ValueError("an array is shorter or longer than was written")
        return SceneDataset(SceneFacts(**facts), Geometry(**geometry), splits)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(
            f"{folder} can't be understood ({error}): move it away and prepare the dataset again"
        ) from error


def _open_split(folder: Path, mapped: bool) -> Split:
    def array(name: str) -> Any:
        path = folder / f"{name}.npy"
        if not path.exists() and name in ("labels", "targets"):
            return None
        return np.load(str(path), mmap_mode="r" if mapped else None, allow_pickle=False)

    return Split(array("images"), array("labels"), array("targets"), array("objects"))


def write_splits(folder: Path, scenes: Iterable[Tuple[str, Scene]]) -> Dict[str, int]:
    """Writes scenes as <split>/{images,labels,targets,objects}.npy; returns counts by split."""
    files: Dict[Tuple[str, str], _NpyFile] = {}
    try:
        for split, scene in scenes:
            values = (scene.image, scene.labels, scene.target, np.array(scene.objects))
            for name, value in zip(("images", "labels", "targets", "objects"), values):
                if value is None:
                    continue
                if (split, name) not in files:
                    files[split, name] = _NpyFile(folder / split / f"{name}.npy", value)
                files[split, name].add(value)
    finally:
        for file in files.values():
            file.close()
    return {split: file.count for (split, name), file in files.items() if name == "images"}


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
    stats = [(str(path), os.stat(str(path))) for path in source.files]
    parts = (
        SCHEMA_VERSION,
        dataclasses.asdict(source.facts),
        dataclasses.asdict(geometry),
        [
            (os.path.relpath(name, str(source.folder)), stat.st_size, stat.st_mtime_ns)
            for name, stat in stats
        ],
    )
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()[:16]
    return "{}-{}x{}-{}".format(source.facts.name, *geometry.resolution, digest)


def _cache_folder(data_folder: Path, wanted: Optional[str]) -> Path:
    if wanted:
        return make_folder(Path(wanted), "--cache_path")
    with contextlib.suppress(ZooError):
        return make_folder(data_folder / CACHE_NAME, "--cache_path")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return make_folder(Path(home) / "attention-modelzoo" / "slot_attention", "--cache_path")


def _check_space(source: SceneSource, geometry: Geometry, place: Path) -> None:
    height, width = geometry.resolution
    size = source.total * height * width * (source.facts.channels + source.facts.has_masks)
    free = shutil.disk_usage(str(place)).free
    if free < size:
        raise ZooError(
            f"the prepared scenes need {size / 1e9:.1f} GB, {place} has {free / 1e9:.1f} GB free: "
            "free some, or give another --cache_path"
        )


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
    items: Iterable[Item], label: str, total: int, terminal: Optional[Terminal] = None
) -> Iterator[Item]:
    """Yields the items and tells how far they are: one line on a terminal, lines in a log."""
    terminal = terminal or Terminal()
    show = terminal.status if terminal.interactive else terminal.say
    began = told = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - told >= (DRAW_EVERY if terminal.interactive else _TELL_EVERY):
            told, pace = now, done / (now - began)
            show(
                f"{label}: {done:,} of {total:,} scenes ({100 * done // max(total, 1)} %), "
                f"{pace:.0f}/s, {duration(max(total - done, 0) / pace)} left"
            )
    terminal.status("")


def ordered(function: Callable[[Any], Any], jobs: Iterable[Any], workers: int) -> Iterator[Any]:
    """Yields function(job) of each job in order, worked out by processes; by this one if it is 1.

    Raises:
        InfrastructureError: a process died.
    """
    if workers == 1:
        yield from map(function, jobs)
        return
    spawn, left = multiprocessing.get_context("spawn"), iter(jobs)
    pool = concurrent.futures.ProcessPoolExecutor(workers, spawn, _set_up, (os.getpid(),))
    waiting: Deque[Any] = collections.deque()
    try:
        for some in iter(lambda: list(itertools.islice(left, _JOBS_AT_ONCE)), []):
            waiting.append(pool.submit(_each, function, some))
            if len(waiting) >= workers * _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise InfrastructureError(
            "a worker process died, perhaps of too little memory; give fewer --workers"
        ) from None
    finally:
        pool.shutdown()  # waits for the few jobs ahead: cancelled ones block Python 3.7 forever


def _each(function: Callable[[Any], Any], jobs: Iterable[Any]) -> List[Any]:
    return [function(job) for job in jobs]


def _set_up(parent: int) -> None:
    """Leaves the interrupt key to the parent, and ends when the parent is gone."""

    def end_without() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_without, daemon=True).start()
