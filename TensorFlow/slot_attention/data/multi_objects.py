"""The multi_object_datasets files: how each is laid out, and its records as scenes; numpy only.

Source: github.com/deepmind/multi_object_datasets, the reader of each dataset.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.data.geometry import Geometry, Size, mask_places, resize_to_bytes
from slot_attention.data.reading import filter_text, ordered, quick_manifest_sha256
from slot_attention.data.records import read_features, read_records
from slot_attention.data.scenes import (
    PROPERTIES,
    Scene,
    SceneFacts,
    Scenes,
    SceneSource,
    encode_targets,
)

HELD_OUT = 320  # test scenes, and as many for validation: those after the training records
VISIBLE = "entities after the background whose `visibility` is above 0"
_HALF = 128  # a mask's value is 0 or 255


class RecordFile(NamedTuple):
    """A published file whose records are an image, a mask per entity, properties per entity.

    path: folder and name. size: (height, width) of image and masks. channels: 1 or 3. entities: N,
    with the background. background: how many of the first entities are background. masks_last:
    masks lie as (height, width, N, 1) and not as (N, height, width, 1). has_visibility: whether
    records say which of the N entities are in the scene. has_targets: whether they have the
    properties that set prediction learns. train_records: how many are for training.
    """

    path: str
    size: Size
    channels: int
    entities: int
    background: int = 1
    masks_last: bool = False
    has_visibility: bool = True
    has_targets: bool = False
    train_records: int = 60000

    @property
    def counted(self) -> str:
        """What counts as an object, in words."""
        if self.has_visibility:
            return VISIBLE
        return f"masks after the {self.background} of the background that have a pixel"

    @property
    def division(self) -> str:
        """How the records are divided, as the published evaluations do it, in words."""
        first = self.train_records
        train = f"train: records 0 to {first - 1}; " if first else ""
        return (
            f"{train}test: the first {HELD_OUT} from record {first} on; "
            f"validation: the {HELD_OUT} after those"
        )


def _sprites(variant: str, channels: int, entities: int) -> RecordFile:
    path = f"multi_dsprites/multi_dsprites_{variant}.tfrecords"
    return RecordFile(path, (64, 64), channels, entities, masks_last=True)


def _room(variant: str, entities: int, train_records: int = 0) -> RecordFile:
    path = f"objects_room/objects_room_{variant}.tfrecords"
    return RecordFile(path, (64, 64), 3, entities, 4, False, False, False, train_records)


RECORD_FILES: Dict[str, RecordFile] = {
    "clevr_with_masks": RecordFile(
        "clevr_with_masks/clevr_with_masks_train.tfrecords",
        (240, 320),
        3,
        11,
        has_targets=True,
        train_records=70000,
    ),
    "multi_dsprites_binarized": _sprites("binarized", 1, 4),
    "multi_dsprites_colored_on_grayscale": _sprites("colored_on_grayscale", 3, 6),
    "multi_dsprites_colored_on_colored": _sprites("colored_on_colored", 3, 5),
    "tetrominoes": RecordFile("tetrominoes/tetrominoes_train.tfrecords", (35, 35), 3, 4),
    "objects_room_train": _room("train", 7, 60000),
    "objects_room_six_objects": _room("test_six_objects", 10),
    "objects_room_identical_color": _room("test_identical_color", 10),
    "objects_room_empty_room": _room("test_empty_room", 4),
}


def record_source(name: str, root: Path, max_objects: Optional[int]) -> SceneSource:
    """The scenes of a file in its folder, or the one above it; its first record is read now.

    Args:
        max_objects: scenes with more objects are in no split.

    Raises:
        ZooError: no file, another kind of file, or another dataset's.
    """
    published = RECORD_FILES[name]
    folder, file = published.path.split("/")
    places = [root, root / file, root / folder / file, root / name / file]
    found = [place for place in places if place.is_file()]
    if not found:
        raise ZooError(
            f"no {file} in {root}: expected it there or in {folder}/; set --data_path to its folder"
        )
    path, most = found[0], published.entities - published.background
    facts = SceneFacts(
        name,
        published.size,
        published.channels,
        published.entities,
        published.background,
        min(most, max_objects or most),
        published.has_targets,
        f"{filter_text(max_objects, published.counted)}; {published.division}",
        quick_manifest_sha256([path]),
        "clevr_reference" if name == "clevr_with_masks" else "none",
    )
    first = next(iter(read_records(path, compressed=True)))
    _scene(published, path, facts.geometry(crop="none"), None, (0, bytes(first)))
    read = functools.partial(_read, published, path, max_objects)
    counts = {"train": published.train_records, "validation": HELD_OUT, "test": HELD_OUT}
    counts = {split: count for split, count in counts.items() if count}
    return SceneSource(facts, counts, [path], path.parent, read)


def _read(
    published: RecordFile,
    path: Path,
    max_objects: Optional[int],
    geometry: Geometry,
    workers: int,
    splits: Sequence[str],
) -> Scenes:
    """The scenes of a file, those for training first; what no split wants is not decoded."""
    trained = published.train_records
    scene = functools.partial(_scene, published, path, geometry, max_objects)
    total = trained + 2 * HELD_OUT if max_objects is None else None
    records = itertools.islice(enumerate(read_records(path, compressed=True)), total)
    first = 0 if "train" in splits else trained
    jobs = ((number, bytes(record)) for number, record in records if number >= first)
    later, number = 0, first - 1
    for number, found in enumerate(ordered(scene, jobs, workers), start=first):
        if found is None:
            continue
        split = "train"
        if number >= trained:
            split, later = "test" if later < HELD_OUT else "validation", later + 1
        if split in splits:
            yield split, found
        if later == 2 * HELD_OUT:
            return
    raise ZooError(
        f"{path} ends before record {number + 1}: {trained} records for training and twice "
        f"{HELD_OUT} held out after them that pass the filter are wanted; get the whole file"
    )


def _scene(
    published: RecordFile,
    path: Path,
    geometry: Geometry,
    max_objects: Optional[int],
    job: Tuple[int, bytes],
) -> Optional[Scene]:
    """The scene of a record and its number; None where it has more objects."""
    try:
        features = read_features(memoryview(job[1]))
        return _scene_of(published, features, geometry, max_objects)
    except ValueError as error:
        raise ZooError(
            f"{path}: record {job[0]}: {error}; is it another dataset or variant? If not, "
            "download the file again"
        ) from error


def _scene_of(
    published: RecordFile, features: Dict[str, Any], geometry: Geometry, max_objects: Optional[int]
) -> Optional[Scene]:
    """The scene of a record's features; ValueError where they are others."""
    (height, width), entities = published.size, published.entities
    if published.masks_last:
        masks = _feature(features, "mask", np.uint8, (height, width, entities)).transpose(2, 0, 1)
    else:
        masks = _feature(features, "mask", np.uint8, (entities, height, width))
    if published.has_visibility:  # so that objects that others hide wholly count
        real = _feature(features, "visibility", np.float32, (entities,)) > 0
    else:
        real = masks.any(axis=(1, 2))
    real[: published.background] = False
    objects = int(real.sum())
    if max_objects is not None and objects > max_objects:
        return None
    image = _feature(features, "image", np.uint8, (height, width, published.channels))
    places = mask_places(geometry)
    covered = np.stack([mask[places] for mask in masks]) >= _HALF
    covers = covered.sum(axis=0)
    if not (covers == 1).all():
        raise ValueError(
            f"masks that don't add up ({int((covers == 0).sum())} pixels in no entity, "
            f"{int((covers > 1).sum())} in several)"
        )
    target = None
    if published.has_targets:
        axes = [_feature(features, name, np.float32, (entities,))[real] for name in "xyz"]
        codes = {  # bytes that count from 1; 0 stands for "none", as the background has it
            name: _feature(features, name, np.uint8, (entities,)).astype(np.int64)[real] - 1
            for name in PROPERTIES
        }
        target = encode_targets(np.stack(axes, axis=1), codes)
    labels = covered.argmax(axis=0).astype(np.uint8)
    return Scene(resize_to_bytes(image, geometry), labels, target, objects)


def _feature(features: Dict[str, Any], name: str, kind: Any, shape: Tuple[int, ...]) -> np.ndarray:
    """A feature as an array; ValueError where it is missing, of another type or size."""
    if name not in features:
        raise ValueError(f"no feature {name}; there are {', '.join(sorted(features)) or 'none'}")
    values = features[name]
    if not isinstance(values, np.ndarray) or values.dtype != kind:
        raise ValueError(f"feature {name} has values of another type than {np.dtype(kind)}")
    if len(values) != int(np.prod(shape)):
        expected = "x".join(str(length) for length in shape)
        raise ValueError(f"feature {name} has {len(values)} values where {expected} are expected")
    return values.reshape(shape)
