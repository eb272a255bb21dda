"""The losses: squared error of the reconstruction, Huber error of the cheapest matching."""

from __future__ import annotations

from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from slot_attention.metrics.matching import HUBER_DELTA, best_matching


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
