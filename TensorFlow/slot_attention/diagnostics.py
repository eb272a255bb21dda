"""Signs of slots that don't specialise: attention without decision, idle slots, duplicates."""

from __future__ import annotations

import itertools
import math
from typing import Dict, List, Tuple

from common.training.tensorflow.runtime import tf

LEAST_SHARE = 0.005  # of the image's pixels; 82 pixels at 128x128, less than CLEVR's small objects
LEAST_OVERLAP = 0.5  # sum of minima over sum of maxima of two masks
LEAST_COSINE = 0.95
_TINY = 1e-12


def discovery_diagnostics(
    attention: tf.Tensor, masks: tf.Tensor, slots: tf.Tensor
) -> Dict[str, tf.Tensor]:
    """Scalars over a batch of object discovery.

    Args:
        attention: (B, N, K), of the last iteration. masks: (B, K, height, width, 1).
        slots: (B, K, D).
    """
    return dict(
        attention_diagnostics(attention, slots),
        slots_in_use=_slots_in_use(masks),
        duplicate_masks=_duplicate_masks(masks),
    )


def attention_diagnostics(attention: tf.Tensor, slots: tf.Tensor) -> Dict[str, tf.Tensor]:
    """What can be told without masks.

    Entropy is the mean over inputs of -sum_k a ln a, divided by ln K: 0 where each input belongs to
    one slot, 1 where all are equal.

    Args:
        attention: (B, N, K) of the last round, sum 1 over the slots. slots: (B, K, D).
    """
    count = attention.shape.as_list()[-1]
    entropy = -tf.reduce_sum(attention * tf.math.log(tf.maximum(attention, _TINY)), axis=-1)
    return {
        "attention_entropy": tf.reduce_mean(entropy) / max(math.log(count), _TINY),
        "similar_slots": _similar_slots(slots),
    }


def _slots_in_use(masks: tf.Tensor) -> tf.Tensor:
    flat = _flat(masks)
    owner = tf.one_hot(tf.argmax(flat, axis=1), flat.shape.as_list()[1], axis=1)
    used = tf.cast(tf.reduce_mean(owner, axis=2) >= LEAST_SHARE, tf.float32)
    return tf.reduce_mean(tf.reduce_sum(used, axis=1))


def _duplicate_masks(masks: tf.Tensor) -> tf.Tensor:
    flat = _flat(masks)
    size = tf.reduce_sum(flat, axis=2)
    large = size >= LEAST_SHARE * flat.shape.as_list()[2]
    found = []
    for one, other in _pairs(flat.shape.as_list()[1]):
        shared = tf.reduce_sum(tf.minimum(flat[:, one], flat[:, other]), axis=1)
        union = size[:, one] + size[:, other] - shared
        found.append(
            tf.logical_and(
                shared >= LEAST_OVERLAP * union, tf.logical_and(large[:, one], large[:, other])
            )
        )
    return _mean_count(found)


def _similar_slots(slots: tf.Tensor) -> tf.Tensor:
    directions = tf.math.l2_normalize(slots, axis=2, epsilon=_TINY)
    cosines = tf.matmul(directions, directions, transpose_b=True)
    return _mean_count(
        [cosines[:, one, other] >= LEAST_COSINE for one, other in _pairs(slots.shape.as_list()[1])]
    )


def _flat(masks: tf.Tensor) -> tf.Tensor:
    _, count, height, width, _ = masks.shape.as_list()
    return tf.reshape(masks, [-1, count, height * width])


def _pairs(count: int) -> List[Tuple[int, int]]:
    return list(itertools.combinations(range(count), 2))


def _mean_count(conditions: List[tf.Tensor]) -> tf.Tensor:
    """The mean over the batch of how many conditions hold; 0 without conditions."""
    if not conditions:
        return tf.constant(0.0)
    return tf.reduce_mean(tf.add_n([tf.cast(item, tf.float32) for item in conditions]))
