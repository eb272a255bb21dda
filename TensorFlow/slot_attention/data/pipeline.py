"""Batches of prepared scenes for training and evaluation, as tf.data datasets.

A batch is asked for by its step alone, so that a resumed run sees exactly the batches that an
uninterrupted one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Tuple, Union

import numpy as np

from common.core.errors import UsageError
from common.training.tensorflow.runtime import tf
from slot_attention.data.order import EvaluationOrder, TrainingOrder
from slot_attention.data.scenes import SceneDataset

Tensor = Any
_PREFETCHED = 2
_FAR_AWAY = 2**62


@dataclass(frozen=True)
class BatchOptions:
    """What a batch consists of, of image, mask and target, and how many are made at a time."""

    fields: Tuple[str, ...] = ("image",)
    workers: int = 1


@dataclass(frozen=True)
class Share:
    """Which part of every global batch is this process's."""

    rank: int = 0
    world_size: int = 1


_ALONE = Share()
_DEFAULTS = BatchOptions()


def training_batches(
    dataset: SceneDataset,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    share: Share = _ALONE,
    options: BatchOptions = _DEFAULTS,
) -> Any:
    """An endless tf.data.Dataset of batches of the training split, from that of start_step on.

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
        UsageError: a batch larger than the data, or a field that the dataset hasn't.
    """
    count = len(dataset.split("train").images)
    order = TrainingOrder(count, batch_size, seed, share.rank, share.world_size)
    steps = tf.data.Dataset.range(start_step, _FAR_AWAY)
    return _batches(steps, dataset, "train", options, batch_size, order)


def evaluation_batches(
    dataset: SceneDataset,
    batch_size: int,
    split: str,
    share: Share = _ALONE,
    options: BatchOptions = _DEFAULTS,
) -> Any:
    """A tf.data.Dataset with every scene of a split once, in order.

    The last batch is filled up by repeating its last scene; `valid`, an int32 scalar in each
    dictionary, says how many count. Otherwise as training_batches.
    """
    count = len(dataset.split(split).images)
    order = EvaluationOrder(count, batch_size, share.rank, share.world_size)
    steps = tf.data.Dataset.range(order.steps)
    return _batches(steps, dataset, split, options, batch_size, order)


def steps_per_epoch(dataset: SceneDataset, batch_size: int, world_size: int = 1) -> int:
    """How many training steps an epoch has."""
    count = len(dataset.split("train").images)
    return TrainingOrder(count, batch_size, 0, 0, world_size).steps_per_epoch


def _batches(
    steps: Any,
    dataset: SceneDataset,
    split_name: str,
    options: BatchOptions,
    batch_size: int,
    order: Union[TrainingOrder, EvaluationOrder],
) -> Any:
    """Indexes the arrays of a split for each step, and finishes the rows in the graph."""
    facts, split, fields = dataset.facts, dataset.split(split_name), options.fields
    available = ["image"] + ["mask"] * facts.has_masks + ["target"] * facts.has_targets
    for field in fields:
        if field not in available:
            raise UsageError(f"{facts.name} has no {field}: it has {', '.join(available)}")
    arrays = {"image": split.images, "mask": split.labels, "target": split.targets}
    evaluates = isinstance(order, EvaluationOrder)

    def read(step: np.ndarray) -> Any:
        indices = order.indices(int(step))
        valid = order.valid(int(step)) if isinstance(order, EvaluationOrder) else batch_size
        return [arrays[field][indices] for field in fields] + [np.int32(valid)]

    def batch(step: Tensor) -> Dict[str, Tensor]:
        types = [tf.as_dtype(arrays[field].dtype) for field in fields]
        *values, valid = tf.numpy_function(read, [step], [*types, tf.int32])
        found = {}
        for field, value in zip(fields, values):
            value.set_shape((batch_size, *arrays[field].shape[1:]))
            found[field] = value
        found["image"] = _three_channels(_scaled(found["image"]))
        if "mask" in found:
            found["mask"] = _entity_masks(found["mask"], facts.entities or 0)
        if evaluates:
            valid.set_shape([])
            found["valid"] = valid
        return found

    return steps.map(batch, num_parallel_calls=options.workers).prefetch(_PREFETCHED)


def _scaled(pixels: Tensor) -> Tensor:
    """uint8 pixels as float32 in [-1, 1], rounded at each step as the reference does."""
    return ((tf.cast(pixels, tf.float32) / 255.0) - 0.5) * 2.0


def _three_channels(images: Tensor) -> Tensor:
    """Repeats the one channel of grey images; colour images stay."""
    return images if int(images.shape[-1]) == 3 else tf.tile(images, [1, 1, 1, 3])


def _entity_masks(labels: Tensor, entities: int) -> Tensor:
    """uint8 (B, entities, height, width) of 0 and 1 from labels (B, height, width)."""
    numbers = tf.reshape(tf.range(entities, dtype=tf.int32), [1, entities, 1, 1])
    same = tf.equal(tf.cast(labels, tf.int32)[:, tf.newaxis], numbers)
    return tf.cast(same, tf.uint8)
