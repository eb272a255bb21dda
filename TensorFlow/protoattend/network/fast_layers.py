"""Convolution, batch norm and ReLU in one, fast on processors under TensorFlow 1.15.

The same mathematics as tf.nn.conv2d, tf.nn.fused_batch_norm and tf.nn.relu in a row. There the
gradient of a kernel runs at a third of the forward rate, and the other gradients take more passes
over their numbers than they need: with these layers a step takes two thirds of the time
(docs/benchmarks.md).
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional, Tuple

from common.training.tensorflow.runtime import tf

LEAST_EPSILON = 1.001e-5  # tf.nn.fused_batch_norm takes no smaller one
FEW_OUTPUTS = 16  # up to so many outputs, two pixels at once make a better product than one
CHUNK = 32  # images whose numbers stay in a processor's cache between operations
_SHIFTS = (-1, 0, 1)


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
        values = convolve(images, kernel, stride)
        outputs, mean, variance = batch_norm(values, gamma, beta, epsilon)
        outputs = tf.nn.relu(outputs) if rectified else outputs

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> Tuple[tf.Tensor, ...]:
            if rectified:
                upstream *= tf.sign(outputs)
            upstream, inverse, of_gamma, of_beta = _through_norm(
                values, mean, variance, upstream, epsilon
            )
            # What is left of the norm, a factor for each channel, the kernel takes.
            factor = gamma * inverse
            of_images, of_kernel = _through_convolution(images, kernel * factor, upstream, stride)
            return of_images, of_kernel * factor, of_gamma, of_beta

        return Layer(outputs, mean, variance), gradient

    found = layer(images, *(tf.convert_to_tensor(weight) for weight in (kernel, gamma, beta)))
    return Layer(found[0], tf.stop_gradient(found[1]), tf.stop_gradient(found[2]))


# --- batch norm --------------------------------------------------------------------------------


def batch_norm(
    values: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises (B, H, W, C); with mean and unbiased variance. The fused one takes no float64."""
    if values.dtype.base_dtype != tf.float64:
        return tf.nn.fused_batch_norm(values, gamma, beta, epsilon=epsilon, is_training=True)
    mean, variance = tf.nn.moments(values, axes=[0, 1, 2])
    outputs = tf.nn.batch_normalization(values, mean, variance, beta, gamma, epsilon)
    count = _count(values, mean)
    return outputs, mean, variance * count / (count - 1)


def _count(values: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """How many values a mean is of."""
    return tf.cast(tf.size(values) // tf.size(mean), values.dtype)


def _through_norm(
    values: tf.Tensor, mean: tf.Tensor, unbiased: tf.Tensor, upstream: tf.Tensor, epsilon: float
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The gradient before the norm, still to be multiplied by gamma times `inverse`; inverse; the
    gradients of gamma and of beta."""
    count = _count(values, mean)
    variance = unbiased * (count - 1) / count
    inverse = tf.rsqrt(variance + epsilon)
    of_beta = tf.reduce_sum(upstream, axis=[0, 1, 2])
    of_gamma = (tf.reduce_sum(upstream * values, axis=[0, 1, 2]) - mean * of_beta) * inverse
    scale, offset = -of_gamma / count, -of_beta / count
    if values.dtype.base_dtype == tf.float64:
        shared = tf.nn.batch_normalization(values, mean, variance, offset, scale, epsilon)
    else:
        shared = tf.nn.fused_batch_norm(
            values, scale, offset, mean=mean, variance=variance, epsilon=epsilon, is_training=False
        )[0]
    return upstream + shared, inverse, of_gamma, of_beta


# --- convolution -------------------------------------------------------------------------------


def convolve(images: tf.Tensor, kernel: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """tf.nn.conv2d, padding SAME, of (B, H, W, C) by (3, 3, C, O)."""
    height, width = images.shape.as_list()[1:3]
    outputs = kernel.shape.as_list()[3]
    if stride != 1 or outputs > FEW_OUTPUTS or width % 2:
        return tf.nn.conv2d(images, kernel, strides=[1, stride, stride, 1], padding="SAME")
    # Every second pixel of a row together with its neighbour: twice the outputs, a kernel 3x4.
    both = tf.concat(
        [tf.pad(kernel, [[0, 0], ends, [0, 0], [0, 0]]) for ends in ([0, 1], [1, 0])], axis=3
    )
    pairs = tf.nn.conv2d(
        images, both, strides=[1, 1, 2, 1], padding=[[0, 0], [1, 1], [1, 1], [0, 0]]
    )
    return tf.reshape(pairs, [-1, height, width, outputs])


def _through_convolution(
    images: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, stride: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """The gradients of images and kernel."""
    if stride == 1:
        turned = tf.transpose(tf.reverse(kernel, axis=[0, 1]), [0, 1, 3, 2])
        return convolve(upstream, turned), kernel_gradient(images, upstream)
    how: Any = {"strides": [1, stride, stride, 1], "padding": "SAME"}
    return (
        tf.nn.conv2d_backprop_input(tf.shape(images), kernel, upstream, **how),
        tf.nn.conv2d_backprop_filter(images, kernel.shape.as_list(), upstream, **how),
    )


def kernel_gradient(images: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """The gradient (3, 3, C, O) of convolve's kernel, from images and upstream (B, H, W, O)."""
    count = images.shape.as_list()[0]
    size = chunk_size(count)
    if size is None:
        return _as_one_product(images, upstream)

    def part(whole: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        found = whole[number * size : (number + 1) * size]
        found.set_shape([size] + whole.shape.as_list()[1:])
        return found

    def add(number: tf.Tensor, total: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        product = _as_one_product(part(images, number), part(upstream, number))
        return number + 1, total + product

    channels = [tensor.shape.as_list()[3] for tensor in (images, upstream)]
    begin = tf.zeros([], tf.int32), tf.zeros([3, 3] + channels, images.dtype.base_dtype)
    return tf.while_loop(
        lambda number, _: number < count // size, add, begin, parallel_iterations=1, back_prop=False
    )[1]


def chunk_size(images: Optional[int]) -> Optional[int]:
    """How many images to take at a time; None for all."""
    sizes = [size for size in range(CHUNK // 2, CHUNK + 1) if images and images % size == 0]
    return max(sizes) if sizes and images != max(sizes) else None


def _as_one_product(images: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """All nine taps by one product of matrices (3 C, pixels) and (pixels, 3 O).

    Pixels of all images are one row of numbers. With a column of zeros after each line and a line
    of zeros after each image, a tap is a shift along that row: of the images by its column, of the
    upstream by its line. One more image of zeros at each end is what shifts run into.
    """
    height, width, inputs = images.shape.as_list()[1:]
    outputs = upstream.shape.as_list()[3]
    line, image = width + 1, (height + 1) * (width + 1)
    by_channel = tf.transpose(_one_row(images))
    by_pixel = _one_row(upstream)
    columns = tf.concat([by_channel[:, image + shift : shift - image] for shift in _SHIFTS], axis=0)
    lines = tf.concat(
        [by_pixel[image - shift * line : -shift * line - image] for shift in _SHIFTS], axis=1
    )
    taps = tf.reshape(tf.matmul(columns, lines), [3, inputs, 3, outputs])
    return tf.transpose(taps, [2, 0, 1, 3])


def _one_row(images: tf.Tensor) -> tf.Tensor:
    """(B, H, W, C) to ((B + 2) (H + 1) (W + 1), C), with zeros as _as_one_product says."""
    height, width, channels = images.shape.as_list()[1:]
    lines = tf.reshape(images, [-1, height, width * channels])
    return tf.reshape(tf.pad(lines, [[1, 1], [0, 1], [0, channels]]), [-1, channels])
