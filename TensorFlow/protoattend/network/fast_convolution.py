"""A 3x3 convolution and its gradients, fast on processors under TensorFlow 1.15.

There tf.nn.conv2d is good forward, but the gradient of its kernel runs at a third of that rate, and
with few channels every pass is held up by moving numbers about.
"""

from __future__ import annotations

from typing import Optional, Tuple

from common.training.tensorflow.runtime import tf

FEW_OUTPUTS = 16  # up to so many outputs, two pixels at once make a better product than one
CHUNK = 32  # images whose numbers stay in a processor's cache between operations
_SHIFTS = (-1, 0, 1)


def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """tf.nn.conv2d with stride 1 and padding SAME: (B, H, W, C) by (3, 3, C, O) to (B, H, W, O).

    Differentiate it by image_gradient and kernel_gradient.
    """
    width, outputs = images.shape.as_list()[2], kernel.shape.as_list()[3]
    if outputs > FEW_OUTPUTS or width % 2:
        return tf.nn.conv2d(images, kernel, strides=[1, 1, 1, 1], padding="SAME")
    return _in_pairs(images, kernel)


def _in_pairs(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Every second pixel of a row together with its neighbour: twice the outputs, a kernel 3x4."""
    height, width = images.shape.as_list()[1:3]
    outputs = kernel.shape.as_list()[3]
    both = tf.concat(
        [tf.pad(kernel, [[0, 0], ends, [0, 0], [0, 0]]) for ends in ([0, 1], [1, 0])], axis=3
    )
    pairs = tf.nn.conv2d(
        images, both, strides=[1, 1, 2, 1], padding=[[0, 0], [1, 1], [1, 1], [0, 0]]
    )
    return tf.reshape(pairs, [-1, height, width, outputs])


def image_gradient(kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """The gradient (B, H, W, C) of convolve's images: a convolution by the kernel turned round."""
    return convolve(upstream, tf.transpose(tf.reverse(kernel, axis=[0, 1]), [0, 1, 3, 2]))


def kernel_gradient(images: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """The gradient (3, 3, C, O) of convolve's kernel, from images and upstream (B, H, W, O)."""
    size = chunk_size(images.shape.as_list()[0])
    if size is None:
        return _as_one_product(images, upstream)

    def add(number: tf.Tensor, total: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        parts = [_part(whole, number, size) for whole in (images, upstream)]
        return number + 1, total + _as_one_product(*parts)

    channels = [tensor.shape.as_list()[3] for tensor in (images, upstream)]
    count = images.shape.as_list()[0] // size
    begin = tf.zeros([], tf.int32), tf.zeros([3, 3] + channels, images.dtype.base_dtype)
    return tf.while_loop(
        lambda number, _: number < count, add, begin, parallel_iterations=1, back_prop=False
    )[1]


def chunk_size(images: Optional[int]) -> Optional[int]:
    """How many images to take at a time; None for all."""
    sizes = [size for size in range(CHUNK // 2, CHUNK + 1) if images and images % size == 0]
    return max(sizes) if sizes and images != max(sizes) else None


def _part(whole: tf.Tensor, number: tf.Tensor, size: int) -> tf.Tensor:
    part = whole[number * size : (number + 1) * size]
    part.set_shape([size] + whole.shape.as_list()[1:])
    return part


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
