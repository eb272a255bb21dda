"""Records of the multi_object_datasets files, as pixels and a label per pixel; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.data.example import BrokenExampleError, Feature, read_features
from slot_attention.data.geometry import Geometry
from slot_attention.data.layouts import Layout
from slot_attention.data.resample import resize_to_bytes
from slot_attention.data.targets import encode_targets
from slot_attention.data.tfrecord import read_gzip_records

# A mask's value is 0 or 255; what lies between would be neither.
_HALF = 128


@dataclass(frozen=True, eq=False)
class Scene:
    """One record as it is stored.

    Attributes:
        image: uint8, (*geometry.stored_size, channels).
        labels: uint8, (*geometry.resolution): the entity each pixel belongs to.
        target: float32, (10, 19), or None where the records have no properties.
    """

    image: np.ndarray
    labels: np.ndarray
    target: Optional[np.ndarray]


class SceneReader:
    """Makes scenes of a file's records.

    Args:
        layout: how the records are laid out.
        geometry: of images and masks.
        source: the file's name, for messages.
        with_targets: read the targets of set prediction too.
    """

    def __init__(
        self, layout: Layout, geometry: Geometry, source: str, with_targets: bool = False
    ) -> None:
        self._with_targets = with_targets
        self._layout = layout
        self._geometry = geometry
        self._source = source
        self._image_places = np.ix_(geometry.stored_rows(), geometry.stored_columns())
        self._mask_places = np.ix_(geometry.mask_rows(), geometry.mask_columns())

    def scene(self, record: bytes, number: int) -> Scene:
        """Returns a record's scene.

        Raises:
            ZooError: a feature is missing or of another size, or the masks don't add up.
        """
        values = RecordValues(record, self._layout, f"{self._source}: record {number}")
        image = values.image()
        if self._geometry.storage == "rounded":
            stored = resize_to_bytes(image, self._geometry)
        else:
            stored = image[self._image_places]
        target = values.target() if self._with_targets else None
        return Scene(stored, self._labels(values), target)

    def check(self, record: bytes, number: int) -> None:
        """Raises ZooError unless every feature is there and every pixel has one entity."""
        values = RecordValues(record, self._layout, f"{self._source}: record {number}")
        values.check_features()
        values.image()
        values.labels(values.masks())

    def _labels(self, values: RecordValues) -> np.ndarray:
        masks = values.masks()
        sampled = np.stack([mask[self._mask_places] for mask in masks])
        return values.labels(sampled)


class RecordValues:
    """The features of one record, each read when asked for.

    Args:
        record: the serialized tf.train.Example.
        layout: what it should hold.
        place: file and record, for messages.
    """

    def __init__(self, record: bytes, layout: Layout, place: str) -> None:
        self._layout = layout
        self._place = place
        try:
            self._features = read_features(record)
        except BrokenExampleError as error:
            raise self._wrong("is no tf.train.Example", "download the file again") from error

    def check_features(self) -> None:
        """Raises ZooError naming the features that are missing."""
        wanted = ["image", "mask"] + [name for name, _width in self._layout.floats]
        missing = [
            name for name in wanted + list(self._layout.letters) if name not in self._features
        ]
        if missing:
            raise self._wrong(
                "lacks {}; it has {}".format(
                    ", ".join(missing), ", ".join(sorted(self._features)) or "nothing"
                ),
                f"is it {self._layout.format}?",
            )

    def image(self) -> np.ndarray:
        """Returns uint8 (height, width, channels), a view of the record."""
        height, width = self._layout.size
        return self._bytes("image", (height, width, self._layout.channels))

    def masks(self) -> np.ndarray:
        """Returns uint8 (entities, height, width), a view of the record; 0 or 255."""
        height, width = self._layout.size
        entities = self._layout.entities
        if self._layout.masks_last:
            masks = self._bytes("mask", (height, width, entities, 1))
            return masks[..., 0].transpose(2, 0, 1)
        return self._bytes("mask", (entities, height, width, 1))[..., 0]

    def labels(self, masks: np.ndarray) -> np.ndarray:
        """Returns uint8 (height, width): each pixel's entity.

        Raises:
            ZooError: a pixel of no entity or of several.
        """
        labels = np.zeros(masks.shape[1:], np.uint8)
        covers = np.zeros(masks.shape[1:], np.uint8)
        for entity, mask in enumerate(masks):
            covered = mask >= _HALF
            covers += covered
            labels[covered] = entity
        if not (covers == 1).all():
            raise self._wrong(
                f"has masks that don't add up ({int((covers == 0).sum())} pixels in no "
                f"entity, {int((covers > 1).sum())} in several)",
                "each pixel must be in exactly one; download the file again",
            )
        return labels

    def visible_objects(self) -> int:
        """Returns how many objects the scene has, the background not counted.

        By the feature `visibility` where the records have it (an object that others hide wholly
        counts), else by the masks that have a pixel.
        """
        background = self._layout.background_entities
        if self._layout.has_visibility:
            visible = self._floats("visibility", 1)
            return int((visible[background:] > 0).sum())
        return int(self.masks()[background:].any(axis=(1, 2)).sum())

    def target(self) -> Optional[np.ndarray]:
        """Returns float32 (10, 19) where the records have the properties, else None.

        A property's byte counts from 1; 0 stands for "none", as the background has it.
        """
        if not self._layout.has_targets:
            return None
        real = self._floats("visibility", 1) > 0
        real[: self._layout.background_entities] = False
        coordinates = np.stack([self._floats(name, 1)[real] for name in "xyz"], axis=1)
        codes = {
            name: self._bytes(name, (self._layout.entities,)).astype(np.int64)[real] - 1
            for name in self._layout.letters
        }
        try:
            if any((values < 0).any() for values in codes.values()):
                raise ValueError("an object of no kind")
            return encode_targets(coordinates, **codes)
        except (IndexError, ValueError) as error:
            raise self._wrong(
                f"has properties out of range ({error})", "download the file again"
            ) from error

    def _bytes(self, name: str, shape: Tuple[int, ...]) -> np.ndarray:
        try:
            values = self._feature(name).single_bytes()
        except BrokenExampleError as error:
            raise self._wrong(
                f"feature {name} has {error}", f"is it {self._layout.format}?"
            ) from error
        self._check_count(name, len(values), shape)
        return values.reshape(shape)

    def _floats(self, name: str, width: int) -> np.ndarray:
        try:
            values = self._feature(name).floats()
        except (BrokenExampleError, ValueError) as error:
            raise self._wrong(
                f"feature {name} has {error}", f"is it {self._layout.format}?"
            ) from error
        self._check_count(name, len(values), (self._layout.entities, width))
        return values.copy()

    def _feature(self, name: str) -> Feature:
        if name not in self._features:
            self.check_features()
        return self._features[name]

    def _check_count(self, name: str, count: int, shape: Tuple[int, ...]) -> None:
        if count != int(np.prod(shape)):
            raise self._wrong(
                "feature {} has {} values where {} are expected".format(
                    name, count, "x".join(str(length) for length in shape)
                ),
                "is it another dataset, variant or image size?",
            )

    def _wrong(self, what: str, hint: str) -> ZooError:
        return ZooError(f"{self._place} {what}; {hint}")


def survey(path: Path, layout: Layout) -> Iterator[int]:
    """Yields every record's number of visible objects, in the file's order."""
    for number, record in enumerate(read_gzip_records(path)):
        values = RecordValues(record, layout, f"{path}: record {number}")
        yield values.visible_objects()
