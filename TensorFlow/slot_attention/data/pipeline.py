"""Batches of prepared scenes for training and evaluation, as tf.data datasets.

A batch is asked for by its step alone, so that a resumed run sees exactly the batches that an
uninterrupted one would have seen.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence, Union

import numpy as np

from common.training.tensorflow.runtime import tf
from slot_attention.data.batches import EvaluationOrder, TrainingOrder, arrays_of
from slot_attention.data.scenes import SceneDataset

Tensor = Any
_PREFETCHED = 2
_FAR_AWAY = 2**62


def scene_batches(
    dataset: SceneDataset,
    split: str,
    order: Union[TrainingOrder, EvaluationOrder],
    fields: Sequence[str] = ("image",),
    workers: int = 1,
    first: int = 0,
) -> Any:
    """A tf.data.Dataset of a split's batches in an order; that of a training is endless.

    Args:
        fields: of image, mask, target.
        workers: how many batches are made at a time.
        first: the step to begin with, counted over all epochs.

    Returns:
        Dictionaries of: image, float32 (B, height, width, 3) in [-1, 1]; if asked for, mask,
        uint8 (B, entities, height, width) of 0 and 1, entity 0 the background; target, float32
        (B, 10, 19); in evaluations valid, int32: how many scenes count. All shapes are static.

    Raises:
        UsageError: a split or a field that the dataset hasn't.
    """
    arrays = arrays_of(dataset, split, fields)
    evaluates = isinstance(order, EvaluationOrder)
    steps = tf.data.Dataset.range(first, order.steps if evaluates else _FAR_AWAY)

    def read(step: np.ndarray) -> Any:
        valid = order.valid(int(step)) if evaluates else order.batch_size
        indices = order.indices(int(step))
        return [array[indices] for array in arrays.values()] + [np.int32(valid)]

    def batch(step: Tensor) -> Dict[str, Tensor]:
        types = [tf.as_dtype(array.dtype) for array in arrays.values()]
        *values, valid = tf.numpy_function(read, [step], [*types, tf.int32])
        found = dict(zip(arrays, values))
        for field, value in found.items():
            value.set_shape((order.batch_size, *arrays[field].shape[1:]))
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
