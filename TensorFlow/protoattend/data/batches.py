"""Batches of queries and candidates for training, as tf.data datasets."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import numpy as np

from common.data.labelled_images import LabelledImages
from common.training.tensorflow.runtime import tf
from protoattend.data.streams import FIELDS, BatchPlan, StepBatches

_PREFETCHED = 2
_FAR_AWAY = 2**62


def make_batches(split: LabelledImages, plan: BatchPlan) -> Callable[[int], Any]:
    """Returns a function that gives an endless tf.data.Dataset of batches from a step on.

    A batch depends on its step alone, so that a resumed run sees exactly the batches that an
    uninterrupted one would have seen.

    Args:
        split: the images to train on, queries and candidates alike.
        plan: what a batch consists of.

    Returns:
        A function of the first step (from 0). Its batches are dictionaries of: images, uint8
        (batch_size, H, W, C); labels, int32 (batch_size,); candidates, uint8
        (candidates, H, W, C); candidate_labels, int32 (candidates,). All shapes are static.

    Raises:
        UsageError: fewer images than a step needs.
    """
    batches = StepBatches(split, plan)
    of_image = split.images.shape[1:]
    shapes = {
        "images": (plan.batch_size,) + of_image,
        "labels": (plan.batch_size,),
        "candidates": (plan.candidates,) + of_image,
        "candidate_labels": (plan.candidates,),
    }

    def arrays(step: np.ndarray) -> Tuple[np.ndarray, ...]:
        batch = batches.batch(int(step))
        return tuple(batch[field] for field in FIELDS)

    def tensors(step: Any) -> Dict[str, Any]:
        found = tf.numpy_function(arrays, [step], [tf.uint8, tf.int32, tf.uint8, tf.int32])
        for tensor, field in zip(found, FIELDS):
            tensor.set_shape(shapes[field])
        return dict(zip(FIELDS, found))

    def batches_from(first: int) -> Any:
        return tf.data.Dataset.range(first, _FAR_AWAY).map(tensors).prefetch(_PREFETCHED)

    return batches_from
