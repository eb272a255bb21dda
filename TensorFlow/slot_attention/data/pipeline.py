"""Batches of prepared scenes for training and evaluation, as tf.data datasets.

A batch is asked for by its step alone, so that a resumed run sees exactly the batches that an
uninterrupted one would have seen.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence

import numpy as np

from common.machine.ranks import ALONE, Place
from common.training.tensorflow.runtime import tf
from slot_attention.data.batches import EvaluationOrder, TrainingOrder, arrays_of
from slot_attention.data.scenes import SceneDataset

Tensor = Any
_PREFETCHED = 2
_FAR_AWAY = 2**62


def training_batches(
    dataset: SceneDataset,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    place: Place = ALONE,
    fields: Sequence[str] = ("image",),
    workers: int = 1,
) -> Any:
    """An endless tf.data.Dataset of batches of the training split, from that of start_step on.

    Every epoch is a permutation of its own, drawn from seed; its incomplete last batch is left
    out. Ranks get disjoint parts of the same global batches.

    Args:
        batch_size: per rank.
        start_step: steps that were done already, over all epochs.
        fields: of image, mask, target.
        workers: how many batches are made at a time.

    Returns:
        Dictionaries of: image, float32 (B, height, width, 3) in [-1, 1]; if asked for, mask,
        uint8 (B, entities, height, width) of 0 and 1, entity 0 the background; target, float32
        (B, 10, 19). All shapes are static.

    Raises:
        UsageError: a batch larger than the data, or a field that the dataset hasn't.
    """
    count = len(dataset.split("train").images)
    order = TrainingOrder(count, batch_size, seed, place.rank, place.world_size)
    steps = tf.data.Dataset.range(start_step, _FAR_AWAY)
    return _batches(steps, dataset, "train", fields, order, batch_size, workers)


def evaluation_batches(
    dataset: SceneDataset,
    batch_size: int,
    split: str,
    place: Place = ALONE,
    fields: Sequence[str] = ("image",),
    workers: int = 1,
) -> Any:
    """A tf.data.Dataset with every scene of a split once, in order.

    The last batch is filled up by repeating its last scene; `valid`, an int32 scalar in each
    dictionary, says how many count. Otherwise as training_batches.
    """
    count = len(dataset.split(split).images)
    order = EvaluationOrder(count, batch_size, place.rank, place.world_size)
    steps = tf.data.Dataset.range(order.steps)
    return _batches(steps, dataset, split, fields, order, batch_size, workers)


def _batches(
    steps: Any,
    dataset: SceneDataset,
    split: str,
    fields: Sequence[str],
    order: Any,
    batch_size: int,
    workers: int,
) -> Any:
    """Indexes the arrays of a split for each step, and finishes the rows in the graph."""
    arrays = arrays_of(dataset, split, fields)
    evaluates = isinstance(order, EvaluationOrder)

    def read(step: np.ndarray) -> Any:
        valid = order.valid(int(step)) if evaluates else batch_size
        indices = order.indices(int(step))
        return [array[indices] for array in arrays.values()] + [np.int32(valid)]

    def batch(step: Tensor) -> Dict[str, Tensor]:
        types = [tf.as_dtype(array.dtype) for array in arrays.values()]
        *values, valid = tf.numpy_function(read, [step], [*types, tf.int32])
        found = dict(zip(arrays, values))
        for field, value in found.items():
            value.set_shape((batch_size, *arrays[field].shape[1:]))
        found["image"] = _image(found["image"])
        if "mask" in found:
            found["mask"] = _entity_masks(found["mask"], dataset.facts.entities or 0)
        if evaluates:
            valid.set_shape([])
            found["valid"] = valid
        return found

    return steps.map(batch, num_parallel_calls=workers).prefetch(_PREFETCHED)


def _image(pixels: Tensor) -> Tensor:
    """uint8 pixels as float32 in [-1, 1], rounded stepwise as the reference does, RGB."""
    image = ((tf.cast(pixels, tf.float32) / 255.0) - 0.5) * 2.0
    return image if int(image.shape[-1]) == 3 else tf.tile(image, [1, 1, 1, 3])


def _entity_masks(labels: Tensor, entities: int) -> Tensor:
    """uint8 (B, entities, height, width) of 0 and 1 from labels (B, height, width)."""
    numbers = tf.reshape(tf.range(entities, dtype=tf.int32), [1, entities, 1, 1])
    same = tf.equal(tf.cast(labels, tf.int32)[:, tf.newaxis], numbers)
    return tf.cast(same, tf.uint8)
