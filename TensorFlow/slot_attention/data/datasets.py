"""The datasets of scenes by name."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np

from common.core.errors import UsageError, ZooError
from common.core.files import save_atomically
from slot_attention.data.cache_folder import choose_cache_path
from slot_attention.data.clevr import ClevrFolder, find_clevr, index_split
from slot_attention.data.encoded_images import EncodedImages
from slot_attention.data.geometry import Geometry
from slot_attention.data.layouts import (
    CLEVR_WITH_MASKS,
    MULTI_DSPRITES,
    OBJECTS_ROOM,
    TETROMINOES,
    Layout,
)
from slot_attention.data.manifest import quick_manifest_sha256
from slot_attention.data.multi_objects import SceneReader
from slot_attention.data.record_plan import (
    HELD_OUT,
    RecordPlan,
    divide,
    filter_text,
    object_counts,
)
from slot_attention.data.scene_dataset import RecordSplit, SceneDataset, Split
from slot_attention.data.tfrecord import read_gzip_records

TRAIN_EVAL_COUNT = 512  # the first of CLEVR's train, which the reference holds out


@dataclass(frozen=True)
class OpenOptions:
    """What can be chosen of a dataset.

    Attributes:
        max_objects: only scenes with at most so many objects, the background not counted.
        train_records: of a published one-file dataset, how many records are for training; the
            published evaluations' number when None.
        held_out: test scenes of such a file, and as many validation scenes.
        cache_path: where counts and stores are kept; beside the data when None.
    """

    max_objects: Optional[int] = None
    train_records: Optional[int] = None
    held_out: int = HELD_OUT
    cache_path: Optional[str] = None


@dataclass(frozen=True)
class _RecordFile:
    """A published file: its folder and name, its layout, the records used for training."""

    folder: str
    file: str
    layout: Layout
    train_records: int


def _record_files() -> Dict[str, _RecordFile]:
    files = {
        "clevr_with_masks": _RecordFile(
            "clevr_with_masks", "clevr_with_masks_train.tfrecords", CLEVR_WITH_MASKS, 70000
        )
    }
    for variant, layout in MULTI_DSPRITES.items():
        name = "multi_dsprites_" + variant
        files[name] = _RecordFile("multi_dsprites", name + ".tfrecords", layout, 60000)
    files["tetrominoes"] = _RecordFile(
        "tetrominoes", "tetrominoes_train.tfrecords", TETROMINOES, 60000
    )
    for variant, layout in OBJECTS_ROOM.items():
        test = "" if variant == "train" else "test_"
        files["objects_room_" + variant] = _RecordFile(
            "objects_room",
            f"objects_room_{test}{variant}.tfrecords",
            layout,
            60000 if variant == "train" else 0,
        )
    return files


_RECORD_FILES = _record_files()
_SYNTHETIC = ("synthetic_sprites", "synthetic_scenes")
_SYNTHETIC_LAYOUTS = {
    "multi_dsprites": MULTI_DSPRITES["colored_on_colored"],
    "clevr_with_masks": CLEVR_WITH_MASKS,
}
_CLEVR_NAMES = ("clevr", "synthetic_clevr")
DATASET_NAMES = ("clevr",) + tuple(_RECORD_FILES) + _SYNTHETIC + ("synthetic_clevr",)


def open_dataset(name: str, data_path: str, options: Optional[OpenOptions] = None) -> SceneDataset:
    """Opens a dataset: finds its files, reads the first record, divides it into splits.

    Args:
        name: one of DATASET_NAMES.
        data_path: the folder of the dataset's files, or the one above it.
        options: filter and division; the defaults when None.

    Raises:
        UsageError: an unknown name, or options out of range.
        ZooError: data that is missing, damaged or of another kind; a split left empty by the
            filter.
    """
    options = OpenOptions() if options is None else options
    _check_options(options)
    opened = _opener(name)(name, Path(data_path), options)
    for split, scenes in opened.splits.items():
        if not len(scenes):
            raise ZooError(
                f"{name}: split {split} has no scene left ({opened.predicate}); allow more objects"
            )
    return opened


def _opener(name: str) -> Callable[[str, Path, OpenOptions], SceneDataset]:
    if name in _CLEVR_NAMES:
        return _open_clevr
    if name in _RECORD_FILES:
        return _open_record_file
    if name in _SYNTHETIC:
        return _open_synthetic
    raise UsageError(
        "dataset {!r} is unknown: use one of {}".format(name, ", ".join(DATASET_NAMES))
    )


def _check_options(options: OpenOptions) -> None:
    for what, value in (
        ("max_objects", options.max_objects),
        ("train_records", options.train_records),
        ("held_out", options.held_out),
    ):
        if value is not None and value < 1:
            raise UsageError(f"{what} {value}: at least 1 is needed")


def _open_record_file(name: str, data_path: Path, options: OpenOptions) -> SceneDataset:
    published = _RECORD_FILES[name]
    path = _find_file(name, data_path, published)
    layout = published.layout
    _check_first_record(path, layout)
    records = published.train_records
    if options.train_records is not None and records:
        records = options.train_records
    plan = RecordPlan(records, options.held_out, options.max_objects)
    manifest = quick_manifest_sha256([path])
    cache_path = choose_cache_path(path.parent, options.cache_path)
    counts_file = cache_path / f"objects-{_digest(manifest, repr(plan))}.npy"
    splits = {
        split: RecordSplit(path, layout, numbers)
        for split, numbers in divide(path, layout, plan, counts_file).items()
    }
    return _record_dataset(
        name,
        layout,
        splits,
        f"{filter_text(layout, options.max_objects)}; {plan.text}",
        manifest,
        cache_path,
        options.max_objects,
    )


def _open_synthetic(name: str, data_path: Path, options: OpenOptions) -> SceneDataset:
    folder = _find_folder(name, data_path, "dataset.json")
    described = _read_description(folder / "dataset.json")
    layout, counts = described.layout, described.counts
    paths = {split: folder / file for split, file in described.files.items()}
    for path in paths.values():
        _check_first_record(path, layout)
    manifest = quick_manifest_sha256([folder / "dataset.json", *paths.values()])
    cache_path = choose_cache_path(folder, options.cache_path)
    splits = {
        split: RecordSplit(
            path,
            layout,
            _passing(
                path,
                layout,
                counts[split],
                options.max_objects,
                cache_path / f"objects-{_digest(manifest, split)}.npy",
            ),
        )
        for split, path in paths.items()
    }
    predicate = (
        f"{filter_text(layout, options.max_objects)}; {described.predicate}; train, "
        "validation and test: a file each"
    )
    return _record_dataset(
        name, layout, splits, predicate, manifest, cache_path, options.max_objects
    )


def _passing(
    path: Path, layout: Layout, count: int, max_objects: Optional[int], counts_file: Path
) -> np.ndarray:
    """The records of a whole file that pass the filter."""
    if max_objects is None:
        return np.arange(count)
    # A plan that holds nothing out takes the whole file for training.
    counts = object_counts(path, layout, RecordPlan(count, 0, max_objects), counts_file)
    return np.flatnonzero(counts <= max_objects)


def _record_dataset(
    name: str,
    layout: Layout,
    splits: Mapping[str, Split],
    predicate: str,
    manifest: str,
    cache_path: Path,
    max_objects: Optional[int],
) -> SceneDataset:
    most = layout.entities - layout.background_entities
    crop = (
        "clevr_reference"
        if layout.format == CLEVR_WITH_MASKS.format and (layout.size == CLEVR_WITH_MASKS.size)
        else "none"
    )
    return SceneDataset(
        name,
        layout.size,
        layout.channels,
        layout.entities,
        layout.background_entities,
        most if max_objects is None else min(most, max_objects),
        layout.has_targets,
        splits,
        predicate,
        manifest,
        crop,
        cache_path,
    )


def _check_first_record(path: Path, layout: Layout) -> None:
    """Reads one record whole: its features, their sizes, and that the masks add up."""
    records = read_gzip_records(path)
    for record in itertools.islice(records, 1):
        geometry = Geometry(layout.size, "none", layout.size)
        SceneReader(layout, geometry, str(path)).check(record, 0)
        return
    raise ZooError(f"{path} holds no record; download it again")


def _find_file(name: str, data_path: Path, published: _RecordFile) -> Path:
    if data_path.is_file():
        return data_path
    folders = (data_path, data_path / published.folder, data_path / name)
    for folder in folders:
        if (folder / published.file).is_file():
            return folder / published.file
    raise ZooError(
        f"no {published.file} in {data_path}: expected it there or in {published.folder}/; "
        "set data_path to its folder"
    )


def _find_folder(name: str, data_path: Path, marker: str) -> Path:
    for folder in (data_path, data_path / name):
        if (folder / marker).is_file():
            return folder
    raise ZooError(
        f"no {name}/{marker} in {data_path}: prepare it with `zoo data prepare {name}` or "
        "set data_path"
    )


@dataclass(frozen=True)
class _Description:
    """What dataset.json says; splits without scenes are left out."""

    layout: Layout
    predicate: str
    files: Mapping[str, str]
    counts: Mapping[str, int]


def _read_description(path: Path) -> _Description:
    try:
        described = json.loads(path.read_text("utf-8"))
        height, width = described["image_size"]
        layout = _SYNTHETIC_LAYOUTS[_known_format(path, described["format"])]
        splits = {name: split for name, split in described["splits"].items() if split["count"]}
        return _Description(
            layout.resized((int(height), int(width)), int(described["entities"])),
            str(described["predicate"]),
            {name: str(split["file"]) for name, split in splits.items()},
            {name: int(split["count"]) for name, split in splits.items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = "it lacks " + str(error) if isinstance(error, KeyError) else str(error)
        raise ZooError(f"{path} can't be understood ({what}); prepare the dataset again") from error


def _known_format(path: Path, name: str) -> str:
    if name not in _SYNTHETIC_LAYOUTS:
        raise ZooError(
            "{}: format {!r} is unknown: use one of {}".format(
                path, name, ", ".join(_SYNTHETIC_LAYOUTS)
            )
        )
    return name


def _open_clevr(name: str, data_path: Path, options: OpenOptions) -> SceneDataset:
    inside = data_path / name
    folder = find_clevr(inside if name != "clevr" and inside.is_dir() else data_path)
    manifest = quick_manifest_sha256(folder.decisive_files())
    cache_path = choose_cache_path(folder.path, options.cache_path)
    train = _kept_index(folder, "train", manifest, cache_path)
    splits = _clevr_splits(train, _kept_index(folder, "validation", manifest, cache_path))
    if options.max_objects is not None:
        splits = {
            split: images.select(np.flatnonzero(images.object_counts <= options.max_objects))
            for split, images in splits.items()
        }
    size = train.image_size(0)
    predicate = (
        f"{filter_text(None, options.max_objects)}; train: all but the first "
        f"{TRAIN_EVAL_COUNT} of train; train_eval: those; validation"
    )
    most = max(int(images.object_counts.max()) if len(images) else 0 for images in splits.values())
    return SceneDataset(
        name, size, 3, None, 1, most, True, dict(splits), predicate, manifest, "none", cache_path
    )


def _clevr_splits(train: EncodedImages, validation: EncodedImages) -> Dict[str, EncodedImages]:
    numbers = np.arange(len(train))
    return {
        "train": train.select(numbers[TRAIN_EVAL_COUNT:]),
        "train_eval": train.select(numbers[:TRAIN_EVAL_COUNT]),
        "validation": validation,
    }


def _kept_index(folder: ClevrFolder, split: str, manifest: str, cache_path: Path) -> EncodedImages:
    """The index of a split, made once: it takes a look at every record."""
    kept = cache_path / f"index-{_digest(manifest, str(folder.path), split)}.npz"
    if kept.exists():
        with np.load(str(kept), allow_pickle=False) as stored:
            paths = [folder.path / str(name) for name in stored["paths"]]
            return EncodedImages(paths, *(stored[column] for column in _INDEX_COLUMNS))
    images = index_split(folder, split)
    names = [str(path.relative_to(folder.path)) for path in images.paths]
    columns: Dict[str, Any] = {column: getattr(images, column) for column in _INDEX_COLUMNS}
    save_atomically(kept, lambda stream: np.savez(stream, paths=np.array(names), **columns))
    return images


_INDEX_COLUMNS: Tuple[str, ...] = ("files", "offsets", "lengths", "object_counts", "targets")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:16]
