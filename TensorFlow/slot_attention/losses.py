"""The losses, and what is told beside them of slots that don't specialise."""

from __future__ import annotations

import math
from typing import Any, Dict

import numpy as np

from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from slot_attention.metrics.matching import (
    HUBER_DELTA,
    LEAST_COSINE,
    LEAST_OVERLAP,
    LEAST_SHARE,
    TINY,
    best_matching,
)


def reconstruction_loss(images: tf.Tensor, combined: tf.Tensor) -> tf.Tensor:
    """Mean squared error over batch, pixels and channels (reference utils.py l2_loss)."""
    return tf.reduce_mean(tf.math.squared_difference(images, combined))


def huber_cost(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Huber error of every pair, mean over the attributes: (B, N, A), (B, K, A) to (B, N, K)."""
    error = tf.abs(tf.expand_dims(targets, 2) - tf.expand_dims(predictions, 1))
    quadratic = tf.minimum(error, HUBER_DELTA)
    return tf.reduce_mean(0.5 * quadratic**2 + HUBER_DELTA * (error - quadratic), axis=-1)


def hungarian_huber_loss(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Sum of the best matching's costs, mean over the batch (reference utils.py).

    The matching is found on the host and is no part of the gradient. targets: (B, N, A),
    predictions: (B, K, A); N and K may differ.
    """
    cost = huber_cost(targets, predictions)
    chosen = tf.numpy_function(best_matching, [cost], cost.dtype)
    chosen.set_shape(cost.shape)
    chosen = noted("matching", tf.stop_gradient(chosen))
    return tf.reduce_mean(tf.reduce_sum(cost * chosen, axis=[1, 2]))


def diagnostics(found: Any) -> Dict[str, tf.Tensor]:
    """Entropy of the last attention (B, N, K), pairs of slots of nearly one direction.

    Entropy is divided by ln K: 0 where each input belongs to one slot, 1 where all are equal. With
    masks (B, K, height, width, 1) also slots that own pixels, and pairs that share them.
    """
    attention, slots = found.attention[-1], found.slots
    count = attention.shape.as_list()[-1]
    entropy = -tf.reduce_sum(attention * tf.math.log(tf.maximum(attention, TINY)), axis=-1)
    directions = tf.math.l2_normalize(slots, axis=2, epsilon=TINY)
    cosines = tf.matmul(directions, directions, transpose_b=True)
    told = {
        "attention_entropy": tf.reduce_mean(entropy) / max(math.log(count), TINY),
        "similar_slots": _mean_pairs(cosines >= LEAST_COSINE),
    }
    if not hasattr(found, "masks"):
        return told
    _, count, height, width, _ = found.masks.shape.as_list()
    flat = tf.reshape(found.masks, [-1, count, height * width])
    owned = tf.reduce_mean(tf.one_hot(tf.argmax(flat, axis=1), count, axis=1), axis=2)
    used = tf.cast(owned >= LEAST_SHARE, tf.float32)
    size = tf.reduce_sum(flat, axis=2)
    # One slot at a time against all: (B, K, K, pixels) would not fit.
    shared = tf.stack(
        [tf.reduce_sum(tf.minimum(flat, flat[:, one : one + 1]), axis=2) for one in range(count)],
        axis=1,
    )
    union = size[:, :, None] + size[:, None, :] - shared
    large = size >= LEAST_SHARE * height * width
    duplicate = tf.logical_and(
        shared >= LEAST_OVERLAP * union, tf.logical_and(large[:, :, None], large[:, None, :])
    )
    told["slots_in_use"] = tf.reduce_mean(tf.reduce_sum(used, axis=1))
    told["duplicate_masks"] = _mean_pairs(duplicate)
    return told


def _mean_pairs(holds: tf.Tensor) -> tf.Tensor:
    """The mean over the batch of how many pairs of two different slots hold, of (B, K, K)."""
    count = holds.shape.as_list()[-1]
    above = tf.constant(np.triu(np.ones((count, count), np.float32), 1))
    return tf.reduce_mean(tf.reduce_sum(tf.cast(holds, tf.float32) * above, axis=[1, 2]))
