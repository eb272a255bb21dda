"""Scenes of one split in the form that batches are made of: in memory, on disk, or half decoded.

A store on disk is keyed by a digest of the files, the split and the geometry, so that it can't be
mistaken for another; it is made in a folder of its own that gets its name when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from common.core.errors import UsageError, ZooError
from common.core.files import TEMPORARY_PREFIX, save_atomically, write_atomically
from slot_attention.data.cache_folder import held
from slot_attention.data.encoded_images import EncodedImages
from slot_attention.data.geometry import Geometry
from slot_attention.data.multi_objects import Scene, SceneReader
from slot_attention.data.progress import ProgressLines
from slot_attention.data.resample import PairBlender, blend_pairs
from slot_attention.data.row_files import RowFile
from slot_attention.data.scene_dataset import RecordSplit, SceneDataset
from slot_attention.data.targets import TARGET_COUNT, TARGET_WIDTH
from slot_attention.data.tfrecord import read_gzip_records

CACHE_NAMES = ("none", "disk")
_CHUNK = 64
_VERSION = "1"
_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, eq=False)
class Rows:
    """Some scenes of a store.

    Attributes:
        images: uint8, (B, *stored size, channels); finished already where the geometry keeps
            pairs: float32, (B, height, width, channels) in [-1, 1]. Those that are still to be
            decoded are undefined.
        labels: uint8, (B, height, width), or None without masks.
        targets: float32, (B, 10, 19), or None.
        missing: int64, (M,): places in this batch whose images are still to be decoded.
        encoded: M PNG files.
    """

    images: np.ndarray
    labels: Optional[np.ndarray]
    targets: Optional[np.ndarray]
    missing: np.ndarray
    encoded: List[bytes]


_NOTHING_MISSING = np.zeros(0, np.int64)


def finish_rows(pixels: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Returns stored images, uint8 (B, *stored size, channels), as Rows has them."""
    return blend_pairs(pixels, geometry) if geometry.keeps_pairs else pixels


def _read_finished(file: RowFile, indices: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Rows of images, finished one by one while they are in the processor's cache."""
    if not geometry.keeps_pairs:
        return file.read(indices)
    channels = file.row_shape[-1]
    images = np.empty((len(indices),) + tuple(geometry.resolution) + (channels,), np.float32)
    blender, row = PairBlender(geometry, channels), np.empty(file.row_shape, np.uint8)
    for image, index in zip(images, indices.tolist()):
        file.read_into(index, row)
        blender.blend(row, image)
    return images


class MemoryStore:
    """Scenes in memory."""

    def __init__(
        self,
        geometry: Geometry,
        images: np.ndarray,
        labels: np.ndarray,
        targets: Optional[np.ndarray],
    ) -> None:
        self._geometry = geometry
        self._images, self._labels, self._targets = images, labels, targets

    def __len__(self) -> int:
        return len(self._images)

    def rows(self, indices: np.ndarray) -> Rows:
        """Returns these scenes."""
        targets = None if self._targets is None else self._targets[indices]
        images = finish_rows(np.take(self._images, indices, axis=0), self._geometry)
        return Rows(images, self._labels[indices], targets, _NOTHING_MISSING, [])


class DiskStore:
    """Scenes with masks in a finished store on disk."""

    def __init__(self, folder: Path, geometry: Geometry, shapes: StoreShapes) -> None:
        self._geometry = geometry
        self._count = shapes.count
        self._images = RowFile(folder / "images.u8", shapes.image, shapes.count)
        self._labels = RowFile(folder / "labels.u8", shapes.labels, shapes.count)
        self._targets = _load_targets(folder) if shapes.has_targets else None

    def __len__(self) -> int:
        return self._count

    def rows(self, indices: np.ndarray) -> Rows:
        """Returns these scenes."""
        targets = None if self._targets is None else self._targets[indices]
        images = _read_finished(self._images, indices, self._geometry)
        return Rows(images, self._labels.read(indices), targets, _NOTHING_MISSING, [])


class EncodedStore:
    """PNG images that are decoded when needed and, with a folder, kept decoded from then on.

    Several processes of one machine may share the folder: what one has decoded all others see.
    """

    def __init__(self, images: EncodedImages, geometry: Geometry, folder: Optional[Path]) -> None:
        self._encoded = images
        self._geometry = geometry
        self._row_shape = tuple(geometry.stored_size) + (3,)
        self._kept: Optional[RowFile] = None
        if folder is not None:
            _drop_unless_trusted(folder)
            self._kept = RowFile(folder / "images.u8", self._row_shape, len(images), True)
            self._present = RowFile(folder / "present.u8", (1,), len(images), True)
            self._all = RowFile(folder / "present.u8", (len(images),), 1)

    def __len__(self) -> int:
        return len(self._encoded)

    def rows(self, indices: np.ndarray) -> Rows:
        """Returns these scenes; images not kept yet as PNG files."""
        targets = self._encoded.targets[indices]
        present = self._which_are_kept(indices)
        missing = np.flatnonzero(~present)
        encoded = self._encoded.read(indices[missing], self._geometry.source)
        return Rows(self._kept_images(indices, present), None, targets, missing, encoded)

    def _which_are_kept(self, indices: np.ndarray) -> np.ndarray:
        if self._kept is None:
            return np.zeros(len(indices), bool)
        return self._all.read(np.zeros(1, np.int64))[0][indices] > 0

    def _kept_images(self, indices: np.ndarray, present: np.ndarray) -> np.ndarray:
        """A batch's images; those not kept are undefined."""
        if self._kept is not None and present.all():
            return _read_finished(self._kept, indices, self._geometry)
        images = finish_rows(np.zeros((0,) + self._row_shape, np.uint8), self._geometry)
        whole = np.zeros((len(indices),) + images.shape[1:], images.dtype)
        if self._kept is not None and present.any():
            whole[present] = _read_finished(self._kept, indices[present], self._geometry)
        return whole

    def keep(self, indices: np.ndarray, images: np.ndarray) -> None:
        """Keeps decoded images, uint8 (len(indices), *stored size, 3)."""
        if self._kept is not None:
            self._kept.write(indices, images)
            self._present.write(indices, np.ones((len(indices), 1), np.uint8))

    def kept_count(self) -> int:
        """Returns how many images are kept decoded."""
        if self._kept is None:
            return 0
        return int(self._all.read(np.zeros(1, np.int64)).sum())


SceneStore = Union[MemoryStore, DiskStore, EncodedStore]


@dataclass(frozen=True)
class StoreShapes:
    """How many scenes a store has and the shapes of its rows."""

    count: int
    image: Tuple[int, ...]
    labels: Tuple[int, ...]
    has_targets: bool

    @property
    def size(self) -> int:
        """Bytes of images and labels."""
        return self.count * int(np.prod(self.image) + np.prod(self.labels))


def open_store(
    dataset: SceneDataset, split: str, geometry: Geometry, cache: str, with_targets: bool
) -> SceneStore:
    """Returns a split's store, made now if need be.

    Args:
        cache: "disk", kept between runs; "none", in memory (record files), or decoded anew each
            time (PNG images).
        with_targets: read the targets too.

    Raises:
        ZooError: damaged data, a full disk; scenes that don't fit in memory with cache "none".
    """
    if cache not in CACHE_NAMES:
        raise UsageError(
            "cache {!r} is unknown: use one of {}".format(cache, ", ".join(CACHE_NAMES))
        )
    scenes = dataset.split(split)
    # PNG images have their targets in the index, not in the store.
    with_targets = with_targets and dataset.has_targets and isinstance(scenes, RecordSplit)
    folder = None
    if cache == "disk":
        folder = dataset.cache_path / _store_name(dataset, split, geometry, with_targets)
    if isinstance(scenes, EncodedImages):
        return _open_encoded(scenes, geometry, folder)
    shapes = StoreShapes(
        len(scenes),
        tuple(geometry.stored_size) + (dataset.channels,),
        tuple(geometry.resolution),
        with_targets,
    )
    if folder is None:
        return _read_into_memory(scenes, geometry, shapes)
    return _open_on_disk(scenes, geometry, shapes, folder)


def _store_name(dataset: SceneDataset, split: str, geometry: Geometry, with_targets: bool) -> str:
    parts = (
        _VERSION,
        dataset.manifest_sha256,
        dataset.predicate,
        split,
        repr(geometry),
        str(with_targets),
        str(dataset.counts[split]),
    )
    digest = hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:16]
    return "{}-{}-{}x{}-{}".format(dataset.name, split, *(geometry.resolution + (digest,)))


def _open_encoded(
    images: EncodedImages, geometry: Geometry, folder: Optional[Path]
) -> EncodedStore:
    if folder is None:
        return EncodedStore(images, geometry, None)
    _check_space(len(images) * int(np.prod(geometry.stored_size)) * 3, folder)
    with held(folder):
        return EncodedStore(images, geometry, folder)


def _drop_unless_trusted(folder: Path) -> None:
    """Forgets what was kept before the machine last started, unless it was synced to the disk.

    After a crash of the machine a row may be marked that never reached the disk.
    """
    boot = _BOOT_FILE.read_text().strip() if _BOOT_FILE.exists() else "unknown"
    marker, present = folder / "boot_id", folder / "present.u8"
    if marker.exists() and marker.read_text() != boot and present.exists():
        present.unlink()
    write_atomically(marker, boot)


def _open_on_disk(
    scenes: RecordSplit, geometry: Geometry, shapes: StoreShapes, folder: Path
) -> DiskStore:
    with held(folder.with_name(folder.name + ".making")):
        if not folder.exists():
            _check_space(shapes.size, folder.parent)
            _make_on_disk(scenes, geometry, shapes, folder)
    return DiskStore(folder, geometry, shapes)


def _make_on_disk(
    scenes: RecordSplit, geometry: Geometry, shapes: StoreShapes, folder: Path
) -> None:
    making = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=str(folder.parent)))
    try:
        images = RowFile(making / "images.u8", shapes.image, shapes.count, True)
        labels = RowFile(making / "labels.u8", shapes.labels, shapes.count, True)
        targets = np.zeros((shapes.count, TARGET_COUNT, TARGET_WIDTH), np.float32)
        for place, scene in enumerate(_scenes(scenes, geometry, shapes.has_targets)):
            row = np.array([place])
            images.write(row, scene.image)
            labels.write(row, scene.labels)
            if scene.target is not None:
                targets[place] = scene.target
        images.sync()
        labels.sync()
        save_atomically(making / "targets.npy", lambda stream: np.save(stream, targets))
        write_atomically(making / "store.json", json.dumps(_description(scenes, geometry)))
        os.chmod(str(making), 0o755)
        os.rename(str(making), str(folder))
    except BaseException:
        shutil.rmtree(str(making), ignore_errors=True)
        raise


def _description(scenes: RecordSplit, geometry: Geometry) -> Dict[str, object]:
    return {
        "schema_version": 1,
        "source": str(scenes.path),
        "count": len(scenes),
        "geometry": geometry.text,
    }


def _read_into_memory(scenes: RecordSplit, geometry: Geometry, shapes: StoreShapes) -> MemoryStore:
    _check_memory(shapes.size)
    images = np.zeros((shapes.count,) + shapes.image, np.uint8)
    labels = np.zeros((shapes.count,) + shapes.labels, np.uint8)
    targets = np.zeros((shapes.count, TARGET_COUNT, TARGET_WIDTH), np.float32)
    for place, scene in enumerate(_scenes(scenes, geometry, shapes.has_targets)):
        images[place], labels[place] = scene.image, scene.labels
        if scene.target is not None:
            targets[place] = scene.target
    return MemoryStore(geometry, images, labels, targets if shapes.has_targets else None)


def _scenes(split: RecordSplit, geometry: Geometry, with_targets: bool) -> Iterator[Scene]:
    """The split's scenes in order, in one pass over the file."""
    reader = SceneReader(split.layout, geometry, str(split.path), with_targets)
    lines = ProgressLines(f"reading {split.path.name}", int(split.numbers[-1]) + 1)
    wanted = iter(split.numbers.tolist())
    next_wanted = next(wanted)
    for number, record in enumerate(read_gzip_records(split.path)):
        lines.at(number)
        if number < next_wanted:
            continue
        yield reader.scene(record, number)
        next_wanted = next(wanted, -1)
        if next_wanted < 0:
            return
    raise ZooError(
        f"{split.path} ends before record {next_wanted}: it has fewer scenes than stated; "
        "set train_records "
        "lower or get the whole file"
    )


def _load_targets(folder: Path) -> np.ndarray:
    return np.asarray(np.load(str(folder / "targets.npy"), allow_pickle=False))


def _check_space(size: int, folder: Path) -> None:
    """Refuses a store that the disk can't take; half full files of an earlier run count as free."""
    while not folder.exists():
        folder = folder.parent
    used = sum(path.stat().st_blocks * 512 for path in folder.glob("*.u8"))
    free = shutil.disk_usage(str(folder)).free + used
    if free < size:
        raise ZooError(
            f"the cache needs {size / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free: "
            "give another cache_path, "
            "storage rounded, or cache none"
        )


def _check_memory(size: int) -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > total // 2:
        raise ZooError(
            f"the scenes need {size / 1e9:.1f} GB, more than half of this machine's memory "
            f"({total / 1e9:.1f} GB): use cache disk"
        )
