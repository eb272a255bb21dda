"""Batches of scenes for training and evaluation, as tf.data datasets.

A batch is asked for by its step alone, so that a resumed run sees exactly the batches that an
uninterrupted one would have seen.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np

from common.core.errors import UsageError, ZooError
from common.training.tensorflow.runtime import tf
from slot_attention.data.geometry import Geometry
from slot_attention.data.order import EvaluationOrder, TrainingOrder
from slot_attention.data.preprocess import entity_masks, finish_stored, store_form
from slot_attention.data.scene_dataset import SceneDataset
from slot_attention.data.stores import EncodedStore, Rows, SceneStore, finish_rows, open_store

Tensor = Any
Batch = Dict[str, Tensor]
FIELD_NAMES = ("image", "mask", "target")
_PREFETCHED = 2
_FAR_AWAY = 2**62


@dataclass(frozen=True)
class BatchOptions:
    """What a batch consists of and how it is read.

    Attributes:
        fields: of FIELD_NAMES, the image always.
        cache: see stores.open_store.
        workers: batches made at a time; the cores this process may use when None.
    """

    fields: Tuple[str, ...] = ("image",)
    cache: str = "disk"
    workers: Optional[int] = None


@dataclass(frozen=True)
class Share:
    """Which part of every global batch is this process's."""

    rank: int = 0
    world_size: int = 1


_ALONE = Share()
_DEFAULTS = BatchOptions()


def training_batches(
    dataset: SceneDataset,
    geometry: Geometry,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    share: Share = _ALONE,
    options: BatchOptions = _DEFAULTS,
    split: str = "train",
) -> Any:
    """Returns an endless tf.data.Dataset of batches, from that of start_step on.

    Every epoch is a permutation of its own, drawn from seed; its incomplete last batch is left
    out. Ranks get disjoint parts of the same global batches.

    Args:
        batch_size: per rank.
        start_step: steps that were done already, over all epochs.

    Returns:
        Dictionaries of: image, float32 (B, height, width, 3) in [-1, 1]; if asked for, mask,
        uint8 (B, entities, height, width) of 0 and 1, entity 0 the background; target, float32
        (B, 10, 19). All shapes are static.

    Raises:
        UsageError, ZooError: as TrainingOrder and stores.open_store say, or a field that the
            dataset hasn't.
    """
    scenes = dataset.split(split)
    order = TrainingOrder(len(scenes), batch_size, seed, share.rank, share.world_size)
    maker = _BatchMaker(dataset, split, geometry, options, batch_size, order)
    return maker.batches(tf.data.Dataset.range(start_step, _FAR_AWAY))


def evaluation_batches(
    dataset: SceneDataset,
    geometry: Geometry,
    batch_size: int,
    split: str,
    share: Share = _ALONE,
    options: BatchOptions = _DEFAULTS,
) -> Any:
    """Returns a tf.data.Dataset with every scene of a split once, in order.

    The last batch is filled up by repeating its last scene; `valid`, an int32 scalar in each
    dictionary, says how many count. Otherwise as training_batches.
    """
    order = EvaluationOrder(len(dataset.split(split)), batch_size, share.rank, share.world_size)
    maker = _BatchMaker(dataset, split, geometry, options, batch_size, order)
    return maker.batches(tf.data.Dataset.range(order.steps))


def steps_per_epoch(
    dataset: SceneDataset, batch_size: int, world_size: int = 1, split: str = "train"
) -> int:
    """Returns how many training steps an epoch has."""
    return TrainingOrder(len(dataset.split(split)), batch_size, 0, 0, world_size).steps_per_epoch


def explain(error: BaseException) -> Optional[ZooError]:
    """Returns what the user can mend when TensorFlow raised this because of bad data, else None.

    Errors of the functions that read data come out of TensorFlow wrapped in its own.
    """
    if isinstance(error, ZooError):
        return error
    text = str(error)
    found = re.search(r"(?:Zoo|Usage|Infrastructure)Error: ([^\n]+)", text)
    if found:
        return ZooError(found.group(1).strip())
    if re.search(r"Invalid PNG|Expected image \(JPEG, PNG|Unable to decode|PNG", text):
        return ZooError(
            "an image of the dataset is damaged (its PNG can't be decoded): download "
            "or prepare the dataset again"
        )
    return None


class _BatchMaker:
    """Makes the batch of a step: reads or decodes its scenes, and finishes them in the graph."""

    def __init__(
        self,
        dataset: SceneDataset,
        split: str,
        geometry: Geometry,
        options: BatchOptions,
        batch_size: int,
        order: Union[TrainingOrder, EvaluationOrder],
    ) -> None:
        _check_fields(dataset, options.fields)
        self._dataset, self._geometry, self._order = dataset, geometry, order
        self._fields, self._batch_size = options.fields, batch_size
        self._workers = options.workers or len(os.sched_getaffinity(0))
        self._store: SceneStore = open_store(
            dataset, split, geometry, options.cache, "target" in options.fields
        )

    def batches(self, steps: Any) -> Any:
        """Returns the dataset of batches of a dataset of steps."""
        return steps.map(self._batch, num_parallel_calls=self._workers).prefetch(_PREFETCHED)

    def _batch(self, step: Tensor) -> Batch:
        read = tf.numpy_function(
            self._read,
            [step],
            [tf.int64, self._image_type, tf.uint8, tf.float32, tf.int64, tf.string, tf.int32],
        )
        indices, pixels, labels, targets, missing, encoded, valid = read
        if isinstance(self._store, EncodedStore):
            pixels = tf.cond(
                tf.size(missing) > 0,
                lambda: self._decoded(indices, pixels, missing, encoded),
                lambda: pixels,
            )
        pixels.set_shape(self._pixel_shape())
        batch = {"image": finish_stored(pixels, self._geometry)}
        if "mask" in self._fields:
            labels.set_shape((self._batch_size,) + tuple(self._geometry.resolution))
            batch["mask"] = entity_masks(labels, self._dataset.entities or 0)
        if "target" in self._fields:
            targets.set_shape((self._batch_size, 10, 19))
            batch["target"] = targets
        if isinstance(self._order, EvaluationOrder):
            valid.set_shape([])
            batch["valid"] = valid
        return batch

    @property
    def _image_type(self) -> Any:
        return tf.float32 if self._geometry.keeps_pairs else tf.uint8

    def _pixel_shape(self) -> Tuple[int, ...]:
        pairs = self._geometry.keeps_pairs
        size = tuple(self._geometry.resolution if pairs else self._geometry.stored_size)
        return (self._batch_size,) + size + (self._dataset.channels,)

    def _read(self, step: np.ndarray) -> Tuple[Any, ...]:
        """A step's scenes as arrays; what the dataset hasn't is empty."""
        indices = self._order.indices(int(step))
        rows = self._store.rows(indices)
        valid = self._batch_size
        if isinstance(self._order, EvaluationOrder):
            valid = self._order.valid(int(step))
        return (
            indices,
            rows.images,
            *_or_empty(rows),
            rows.missing,
            np.array(rows.encoded, object),
            np.int32(valid),
        )

    def _decoded(self, indices: Tensor, pixels: Tensor, missing: Tensor, encoded: Tensor) -> Tensor:
        """The batch's pixels with the missing ones decoded, which are kept as well."""
        decoded = tf.map_fn(self._decode, encoded, dtype=tf.uint8, back_prop=False)
        return tf.numpy_function(self._merge, [indices, pixels, missing, decoded], self._image_type)

    def _decode(self, encoded: Tensor) -> Tensor:
        image = tf.image.decode_png(encoded, channels=3, dtype=tf.uint8)
        image.set_shape(tuple(self._geometry.source) + (3,))
        return store_form(image[tf.newaxis], self._geometry)[0]

    def _merge(
        self, indices: np.ndarray, pixels: np.ndarray, missing: np.ndarray, decoded: np.ndarray
    ) -> np.ndarray:
        assert isinstance(self._store, EncodedStore)
        self._store.keep(indices[missing], decoded)
        finished = finish_rows(decoded, self._geometry)
        if len(missing) == len(pixels):
            return finished
        whole = pixels.copy()
        whole[missing] = finished
        return whole


def _or_empty(rows: Rows) -> List[np.ndarray]:
    labels = np.zeros(0, np.uint8) if rows.labels is None else rows.labels
    targets = np.zeros(0, np.float32) if rows.targets is None else rows.targets
    return [labels, targets]


def _check_fields(dataset: SceneDataset, fields: Tuple[str, ...]) -> None:
    available = ["image"] + ["mask"] * dataset.has_masks + ["target"] * dataset.has_targets
    for field in fields:
        if field not in available:
            raise UsageError(
                "{} has no {}: it has {}".format(dataset.name, field, ", ".join(available))
            )
