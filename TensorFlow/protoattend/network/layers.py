"""The layers of which encoders are made; each makes its weights at once, so sizes are said."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from common.training.tensorflow.runtime import tf
from protoattend.network.fast_layers import batch_norm

MOMENTUM = 0.9
NORM_EPSILON = 1e-5
LAYER_NORM_EPSILON = 1e-12


class Moments(NamedTuple):
    """What a batch adds to a batch norm's running statistics; the variance is the unbiased one."""

    layer: BatchNorm
    mean: tf.Tensor
    variance: tf.Tensor


class Mode(NamedTuple):
    """How a pass normalises: in training each batch norm adds its own moments to the list.

    moments: None to use the running statistics. fast: in training by fast_layers.
    """

    moments: Optional[List[Moments]] = None
    fast: bool = False


class Convolution(tf.keras.layers.Layer):
    """A convolution without bias, padding SAME; He-normal at the start, as the reference's."""

    def __init__(self, size: int, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.kernel = self.add_weight(
            name="kernel", shape=(size, size, inputs, outputs), initializer="he_normal"
        )

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """(B, H, W, inputs) to (B, H / stride, W / stride, outputs)."""
        return tf.nn.conv2d(
            images, self.kernel, strides=[1, self.stride, self.stride, 1], padding="SAME"
        )


class BatchNorm(tf.keras.layers.Layer):
    """Batch normalisation, momentum 0.9, epsilon 1e-5.

    Its running statistics are not updated by the way: `normalise` tells what to add to them,
    because a training step normalises two batches and their order matters.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=(channels,), initializer="zeros", trainable=False
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=(channels,), initializer="ones", trainable=False
        )

    def normalise(self, images: tf.Tensor, mode: Mode) -> tf.Tensor:
        """(B, H, W, channels) by the running moments, or in training by its own."""
        if mode.moments is None:
            scale = self.gamma * tf.rsqrt(self.moving_variance + NORM_EPSILON)
            return images * scale + (self.beta - self.moving_mean * scale)
        output, mean, variance = batch_norm(images, self.gamma, self.beta, NORM_EPSILON)
        mode.moments.append(Moments(self, mean, variance))
        return output


class LayerNorm(tf.keras.layers.Layer):
    """Layer normalisation of vectors, epsilon 1e-12 as in tf.contrib.layers.layer_norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = self.add_weight(name="gamma", shape=(width,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(width,), initializer="zeros")

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """(B, width) to the same shape."""
        mean, variance = tf.nn.moments(vectors, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(
            vectors, mean, variance, self.beta, self.gamma, LAYER_NORM_EPSILON
        )


class Dense(tf.keras.layers.Layer):
    """A fully connected layer, without activation."""

    def __init__(self, inputs: int, outputs: int, use_bias: bool = True) -> None:
        super().__init__()
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs, outputs), initializer="glorot_uniform"
        )
        self.bias = (
            self.add_weight(name="bias", shape=(outputs,), initializer="zeros")
            if use_bias
            else None
        )

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """(B, inputs) to (B, outputs)."""
        product = tf.matmul(vectors, self.kernel)
        return product if self.bias is None else product + self.bias
