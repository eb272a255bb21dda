"""Convolution, batch norm and ReLU in one, fast on processors under TensorFlow 1.15.

The same mathematics as tf.nn.conv2d, tf.nn.fused_batch_norm and tf.nn.relu in a row, whose
gradients take more passes over their numbers there than they need.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Tuple

from common.training.tensorflow.runtime import tf
from protoattend.network import fast_convolution

LEAST_EPSILON = 1.001e-5  # tf.nn.fused_batch_norm takes no smaller one


class Layer(NamedTuple):
    """What a layer gives: outputs (B, H, W, O), the batch's mean and unbiased variance (O,).

    No gradient goes through mean and variance.
    """

    outputs: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor


@tf.custom_gradient
def rectify(values: tf.Tensor) -> Tuple[tf.Tensor, Callable[..., Any]]:
    """tf.nn.relu; its gradient is one product, which is faster than the operation's own."""
    outputs = tf.nn.relu(values)
    return outputs, lambda upstream: upstream * tf.sign(outputs)


def normalised_convolution(
    images: tf.Tensor,
    kernel: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    stride: int = 1,
    rectified: bool = False,
) -> Layer:
    """A convolution without bias, padding SAME, then batch norm in training mode, then ReLU.

    Args:
        images: (B, H, W, C), all but B known.
        kernel: (3, 3, C, O).
        rectified: with the ReLU.
    """
    epsilon = max(epsilon, LEAST_EPSILON)

    @tf.custom_gradient
    def layer(
        images: tf.Tensor, kernel: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> Tuple[Layer, Callable[..., Any]]:
        values = _convolve(images, kernel, stride)
        outputs, mean, variance = _normalise(values, gamma, beta, epsilon)
        outputs = tf.nn.relu(outputs) if rectified else outputs

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            if rectified:
                upstream *= tf.sign(outputs)
            inner = _through_norm(values, mean, variance, upstream, epsilon)
            factor = gamma * inner.inverse
            return _through_convolution(images, kernel, inner.upstream, factor, stride) + (
                inner.of_gamma,
                inner.of_beta,
            )

        return Layer(outputs, mean, variance), gradient

    found = layer(images, *(tf.convert_to_tensor(weight) for weight in (kernel, gamma, beta)))
    return Layer(found[0], tf.stop_gradient(found[1]), tf.stop_gradient(found[2]))


def _convolve(images: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    if stride == 1:
        return fast_convolution.convolve(images, kernel)
    return tf.nn.conv2d(images, kernel, strides=[1, stride, stride, 1], padding="SAME")


def _normalise(
    values: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    if values.dtype.base_dtype != tf.float64:
        return tf.nn.fused_batch_norm(values, gamma, beta, epsilon=epsilon, is_training=True)
    mean, variance = tf.nn.moments(values, axes=[0, 1, 2])
    outputs = tf.nn.batch_normalization(values, mean, variance, beta, gamma, epsilon)
    count = _count(values, mean)
    return outputs, mean, variance * count / (count - 1)


def _count(values: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """How many values a mean is of."""
    return tf.cast(tf.size(values) // tf.size(mean), values.dtype)


class _Inner(NamedTuple):
    """The gradient before a batch norm, still to be multiplied by gamma times `inverse`."""

    upstream: tf.Tensor
    inverse: tf.Tensor
    of_gamma: tf.Tensor
    of_beta: tf.Tensor


def _through_norm(
    values: tf.Tensor, mean: tf.Tensor, unbiased: tf.Tensor, upstream: tf.Tensor, epsilon: float
) -> _Inner:
    count = _count(values, mean)
    variance = unbiased * (count - 1) / count
    inverse = tf.rsqrt(variance + epsilon)
    of_beta = tf.reduce_sum(upstream, axis=[0, 1, 2])
    of_gamma = (tf.reduce_sum(upstream * values, axis=[0, 1, 2]) - mean * of_beta) * inverse
    shared = _affine(values, -of_gamma / count, -of_beta / count, mean, variance, epsilon)
    return _Inner(upstream + shared, inverse, of_gamma, of_beta)


def _affine(
    values: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    epsilon: float,
) -> tf.Tensor:
    """Normalised values times scale plus offset, by channel."""
    if values.dtype.base_dtype == tf.float64:
        return tf.nn.batch_normalization(values, mean, variance, offset, scale, epsilon)
    return tf.nn.fused_batch_norm(
        values, scale, offset, mean=mean, variance=variance, epsilon=epsilon, is_training=False
    )[0]


def _through_convolution(
    images: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, factor: tf.Tensor, stride: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Gradients of images and kernel from upstream times factor: the kernel takes the factor."""
    scaled = kernel * factor
    if stride == 1:
        return (
            fast_convolution.image_gradient(scaled, upstream),
            fast_convolution.kernel_gradient(images, upstream) * factor,
        )
    strides = [1, stride, stride, 1]
    return (
        tf.nn.conv2d_backprop_input(
            tf.shape(images), scaled, upstream, strides=strides, padding="SAME"
        ),
        tf.nn.conv2d_backprop_filter(
            images, kernel.shape.as_list(), upstream, strides=strides, padding="SAME"
        )
        * factor,
    )
