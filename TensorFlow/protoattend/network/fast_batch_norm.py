"""Batch normalisation that is fast on processors under TensorFlow 1.15; the same mathematics.

There the gradient of the fused operation takes more passes over its numbers than it needs.
"""

from __future__ import annotations

from typing import Any, Callable, Tuple

from common.tf_runtime import tf

LEAST_EPSILON = 1.001e-5  # tf.nn.fused_batch_norm takes no smaller one


def batch_norm(images: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor,
               epsilon: float) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """tf.nn.fused_batch_norm in training, of (B, H, W, C).

    Returns:
        The normalised images, and as constants to any gradient the batch's mean and its unbiased
        variance, both (C,).
    """
    epsilon = max(epsilon, LEAST_EPSILON)

    @tf.custom_gradient
    def normalised(values: tf.Tensor, scale: tf.Tensor,
                   offset: tf.Tensor) -> Tuple[Tuple[tf.Tensor, ...], Callable[..., Any]]:
        output, mean, variance = tf.nn.fused_batch_norm(
            values, scale, offset, epsilon=epsilon, is_training=True)

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            return gradients(values, scale, mean, variance, upstream, epsilon)
        return (output, mean, variance), gradient
    output, mean, variance = normalised(
        images, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))
    return output, tf.stop_gradient(mean), tf.stop_gradient(variance)


def gradients(values: tf.Tensor, scale: tf.Tensor, mean: tf.Tensor, unbiased: tf.Tensor,
              upstream: tf.Tensor, epsilon: float) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Gradients of values (B, H, W, C), scale (C,) and offset (C,).

    Args:
        values: what was normalised, with its mean and unbiased variance.
    """
    count = tf.cast(tf.size(values) // tf.size(mean), values.dtype)
    variance = unbiased * (count - 1) / count
    inverse = tf.rsqrt(variance + epsilon)
    of_offset = tf.reduce_sum(upstream, axis=[0, 1, 2])
    of_scale = (tf.reduce_sum(upstream * values, axis=[0, 1, 2]) - mean * of_offset) * inverse
    factor = scale * inverse
    # Back through the mean and the variance: normalised values times a number, plus a number.
    shared, _, _ = tf.nn.fused_batch_norm(
        values, -factor * of_scale / count, -factor * of_offset / count, mean=mean,
        variance=variance, epsilon=epsilon, is_training=False)
    return by_channel(upstream, factor) + shared, of_scale, of_offset


def by_channel(values: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """(B, H, W, C) times (C,), a whole line at a time: short products are slow."""
    height, width, channels = values.shape.as_list()[1:]
    lines = tf.reshape(values, [-1, width * channels]) * tf.tile(factor, [width])
    return tf.reshape(lines, [-1, height, width, channels])
