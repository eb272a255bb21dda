"""The multi_object_datasets files: how each is laid out, and its records as scenes; numpy only.

Source: github.com/deepmind/multi_object_datasets, the reader of each dataset.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.data.arrays import ordered
from slot_attention.data.geometry import Geometry, Size, mask_places, resize_to_bytes
from slot_attention.data.records import BrokenExampleError, read_features, read_records
from slot_attention.data.scenes import Scene, SceneFacts, SceneSource, encode_targets

_HALF = 128  # a mask's value is 0 or 255


@dataclass(frozen=True)
class Layout:
    """One record: an image, a mask per entity, and properties per entity.

    Attributes:
        size: (height, width) of image and masks.
        channels: 1 or 3.
        entities: N, with the background.
        background_entities: how many of the first entities are background.
        masks_last: masks lie as (height, width, N, 1) and not as (N, height, width, 1).
        has_visibility: whether records say which of the N entities are in the scene.
        letters: names of features of (N,) single bytes, which set prediction learns.
    """

    size: Size
    channels: int
    entities: int
    background_entities: int = 1
    masks_last: bool = False
    has_visibility: bool = True
    letters: Tuple[str, ...] = ()

    @property
    def features(self) -> List[str]:
        """The names of the features that are read."""
        names = ["image", "mask"] + ["visibility"] * self.has_visibility
        return names + (["x", "y", "z", *self.letters] if self.letters else [])

    @property
    def counted(self) -> str:
        """What counts as an object, in words."""
        if self.has_visibility:
            return VISIBLE
        return f"masks after the {self.background_entities} of the background that have a pixel"


VISIBLE = "entities after the background whose `visibility` is above 0"


class RecordFile(NamedTuple):
    """A published file: its folder and name, its layout, how many records are for training."""

    folder: str
    file: str
    layout: Layout
    train_records: int = 60000


_SPRITES = {  # channels and entities
    "binarized": (1, 4),
    "colored_on_grayscale": (3, 6),
    "colored_on_colored": (3, 5),
}
_ROOM_ENTITIES = {"train": 7, "six_objects": 10, "identical_color": 10, "empty_room": 4}
RECORD_FILES: Dict[str, RecordFile] = {
    "clevr_with_masks": RecordFile(
        "clevr_with_masks",
        "clevr_with_masks_train.tfrecords",
        Layout((240, 320), 3, 11, letters=("size", "material", "shape", "color")),
        70000,
    ),
    **{
        f"multi_dsprites_{variant}": RecordFile(
            "multi_dsprites",
            f"multi_dsprites_{variant}.tfrecords",
            Layout((64, 64), *sizes, masks_last=True),
        )
        for variant, sizes in _SPRITES.items()
    },
    "tetrominoes": RecordFile("tetrominoes", "tetrominoes_train.tfrecords", Layout((35, 35), 3, 4)),
    **{
        f"objects_room_{variant}": RecordFile(
            "objects_room",
            f"objects_room_{'' if variant == 'train' else 'test_'}{variant}.tfrecords",
            Layout((64, 64), 3, entities, background_entities=4, has_visibility=False),
            60000 if variant == "train" else 0,
        )
        for variant, entities in _ROOM_ENTITIES.items()
    },
}


def division_text(train_records: int, held_out: int) -> str:
    """How the records of one file are divided, as the published evaluations do it, in words."""
    parts = [f"train: records 0 to {train_records - 1}"] if train_records else []
    parts.append(f"test: the first {held_out} from record {train_records} on")
    return "; ".join([*parts, f"validation: the {held_out} after those"])


def record_source(
    path: Path,
    published: RecordFile,
    held_out: int,
    max_objects: Optional[int],
    facts: SceneFacts,
) -> SceneSource:
    """The scenes of a file; its first record is read now, and whole.

    Args:
        held_out: test scenes, and as many for validation: those after the training records.
        max_objects: scenes with more objects are in no split.

    Raises:
        ZooError: another kind of file, or another dataset's.
    """
    layout, train_records = published.layout, published.train_records
    first = next(iter(read_records(path, compressed=True)))
    _scene(layout, path, Geometry(layout.size, "none", layout.size), None, (0, bytes(first)))
    wanted = train_records + 2 * held_out

    def read(geometry: Geometry, workers: int) -> Iterator[Tuple[str, Scene]]:
        scene = functools.partial(_scene, layout, path, geometry, max_objects)
        records = enumerate(map(bytes, read_records(path, compressed=True)))
        enough = itertools.islice(records, wanted if max_objects is None else None)
        later = number = 0
        for number, found in enumerate(ordered(scene, enough, workers)):
            if found is None:
                continue
            if number < train_records:
                yield "train", found
                continue
            yield ("test" if later < held_out else "validation"), found
            later += 1
            if later == 2 * held_out:
                return
        raise ZooError(
            f"{path} ends before record {number + 1}: {train_records} records for training and "
            f"twice {held_out} held out after them that pass the filter are wanted; get the whole "
            "file"
        )

    splits = ("train", "validation", "test") if train_records else ("validation", "test")
    return SceneSource(facts, splits, [path], path.parent, wanted, read)


def _scene(
    layout: Layout,
    path: Path,
    geometry: Geometry,
    max_objects: Optional[int],
    job: Tuple[int, bytes],
) -> Optional[Scene]:
    record = _Record(memoryview(job[1]), layout, f"{path}: record {job[0]}")
    return record.scene(geometry, max_objects)


class _Record:
    """The features of one record, each read when asked for.

    Args:
        place: file and record, for messages.
    """

    def __init__(self, record: memoryview, layout: Layout, place: str) -> None:
        self._layout, self._place = layout, place
        try:
            self._features = read_features(record)
        except BrokenExampleError as error:
            raise self._wrong("is no tf.train.Example", "download the file again") from error
        missing = [name for name in layout.features if name not in self._features]
        if missing:
            found = ", ".join(sorted(self._features)) or "nothing"
            raise self._wrong(f"lacks {', '.join(missing)}; it has {found}", "is it this dataset?")

    def scene(self, geometry: Geometry, max_objects: Optional[int]) -> Optional[Scene]:
        """The scene; None where it has more objects."""
        masks = self._masks()
        objects = self._objects(masks)
        if max_objects is not None and objects > max_objects:
            return None
        height, width = self._layout.size
        image = self._bytes("image", (height, width, self._layout.channels))
        places = mask_places(geometry)
        labels = self._labels(np.stack([mask[places] for mask in masks]))
        return Scene(resize_to_bytes(image, geometry), labels, self._target(), objects)

    def _masks(self) -> np.ndarray:
        """uint8 (entities, height, width), a view of the record."""
        (height, width), entities = self._layout.size, self._layout.entities
        if self._layout.masks_last:
            return self._bytes("mask", (height, width, entities)).transpose(2, 0, 1)
        return self._bytes("mask", (entities, height, width))

    def _labels(self, masks: np.ndarray) -> np.ndarray:
        """uint8 (height, width): each pixel's entity."""
        covered = masks >= _HALF
        covers = covered.sum(axis=0)
        if not (covers == 1).all():
            raise self._wrong(
                f"has masks that don't add up ({int((covers == 0).sum())} pixels in no "
                f"entity, {int((covers > 1).sum())} in several)",
                "each pixel must be in exactly one; download the file again",
            )
        return covered.argmax(axis=0).astype(np.uint8)

    def _objects(self, masks: np.ndarray) -> int:
        """By the feature `visibility` where there is one (an object that others hide wholly
        counts), else by the masks that have a pixel.
        """
        background = self._layout.background_entities
        if self._layout.has_visibility:
            return int((self._floats("visibility")[background:] > 0).sum())
        return int(masks[background:].any(axis=(1, 2)).sum())

    def _target(self) -> Optional[np.ndarray]:
        """A property's byte counts from 1; 0 stands for "none", as the background has it."""
        if not self._layout.letters:
            return None
        real = self._floats("visibility") > 0
        real[: self._layout.background_entities] = False
        coordinates = np.stack([self._floats(name)[real] for name in "xyz"], axis=1)
        codes = {
            name: self._bytes(name, (self._layout.entities,)).astype(np.int64)[real] - 1
            for name in self._layout.letters
        }
        try:
            return encode_targets(coordinates, **codes)
        except ValueError as error:
            raise self._wrong(
                f"has properties out of range ({error})", "download the file again"
            ) from error

    def _bytes(self, name: str, shape: Tuple[int, ...]) -> np.ndarray:
        return self._values(name, "single_bytes", shape)

    def _floats(self, name: str) -> np.ndarray:
        return self._values(name, "floats", (self._layout.entities,))

    def _values(self, name: str, method: str, shape: Tuple[int, ...]) -> np.ndarray:
        try:
            values: np.ndarray = getattr(self._features[name], method)()
        except ValueError as error:
            raise self._wrong(f"feature {name} has {error}", "is it this dataset?") from error
        if len(values) != int(np.prod(shape)):
            expected = "x".join(str(length) for length in shape)
            raise self._wrong(
                f"feature {name} has {len(values)} values where {expected} are expected",
                "is it another dataset, variant or image size?",
            )
        return values.reshape(shape)

    def _wrong(self, what: str, hint: str) -> ZooError:
        return ZooError(f"{self._place} {what}; {hint}")
