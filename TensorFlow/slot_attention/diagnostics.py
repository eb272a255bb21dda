"""Signs of slots that don't specialise: attention without decision, idle slots, duplicates."""

from __future__ import annotations

import math
from typing import Dict

import numpy as np

from common.training.tensorflow.runtime import tf
from slot_attention.metrics.slot_health import LEAST_COSINE, LEAST_OVERLAP, LEAST_SHARE, TINY


def attention_diagnostics(attention: tf.Tensor, slots: tf.Tensor) -> Dict[str, tf.Tensor]:
    """What can be told without masks, of attention (B, N, K), sum 1 over K, and slots (B, K, D).

    Entropy is the mean over inputs of -sum_k a ln a, divided by ln K: 0 where each input belongs to
    one slot, 1 where all are equal. Similar slots are pairs of nearly one direction.
    """
    count = attention.shape.as_list()[-1]
    entropy = -tf.reduce_sum(attention * tf.math.log(tf.maximum(attention, TINY)), axis=-1)
    directions = tf.math.l2_normalize(slots, axis=2, epsilon=TINY)
    cosines = tf.matmul(directions, directions, transpose_b=True)
    return {
        "attention_entropy": tf.reduce_mean(entropy) / max(math.log(count), TINY),
        "similar_slots": _mean_pairs(cosines >= LEAST_COSINE),
    }


def discovery_diagnostics(
    attention: tf.Tensor, masks: tf.Tensor, slots: tf.Tensor
) -> Dict[str, tf.Tensor]:
    """The same, and of masks (B, K, height, width, 1): slots that own pixels, pairs that share."""
    _, count, height, width, _ = masks.shape.as_list()
    flat = tf.reshape(masks, [-1, count, height * width])
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
    return dict(
        attention_diagnostics(attention, slots),
        slots_in_use=tf.reduce_mean(tf.reduce_sum(used, axis=1)),
        duplicate_masks=_mean_pairs(duplicate),
    )


def _mean_pairs(holds: tf.Tensor) -> tf.Tensor:
    """The mean over the batch of how many pairs of two different slots hold, of (B, K, K)."""
    count = holds.shape.as_list()[-1]
    above = tf.constant(np.triu(np.ones((count, count), np.float32), 1))
    return tf.reduce_mean(tf.reduce_sum(tf.cast(holds, tf.float32) * above, axis=[1, 2]))
