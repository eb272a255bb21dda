"""The network: layers, encoders, keys, queries and values, and those to classes.

Every layer makes its weights at once, so sizes are said.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence

from common.training.stored_weights import FoundCheckpoint
from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import named_weights
from protoattend.network.architecture import (
    BLOCKS,
    LAYER_NORM_EPSILON,
    MOMENTUM,
    NORM_EPSILON,
    PLAIN,
    RESNET32,
    STAGE_CHANNELS,
    Architecture,
    PlainLayer,
)
from protoattend.network.checkpoints import stored_weights
from protoattend.network.fast_layers import batch_norm, normalised_convolution, rectify
from protoattend.network.parts import Encoded

# --- layers ----------------------------------------------------------------------------------


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


# --- encoders --------------------------------------------------------------------------------


class ResNet32(tf.keras.layers.Layer):
    """The residual network for CIFAR (He et al. 2016, section 4.2), with 1x1 shortcuts.

    Three stages of five blocks; the first block of the second and third halves the resolution. At
    the end a mean over the whole image, which for 28x28 is the reference's 7x7 pooling.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = STAGE_CHANNELS[-1]
        self.entry = Convolution(3, channels, STAGE_CHANNELS[0])
        self.entry_norm = BatchNorm(STAGE_CHANNELS[0])
        self._blocks = []
        inputs = STAGE_CHANNELS[0]
        for stage, outputs in enumerate(STAGE_CHANNELS):
            for number in range(BLOCKS):
                block = ResidualBlock(inputs, outputs, 2 if stage and not number else 1)
                setattr(self, f"stage{stage}_block{number}", block)
                self._blocks.append(block)
                inputs = outputs

    def encode(self, images: tf.Tensor, mode: Mode) -> tf.Tensor:
        """(B, H, W, C) to (B, 64)."""
        hidden = _layer(self.entry, self.entry_norm, images, mode)
        for block in self._blocks:
            hidden = block.forward(hidden, mode)
        return tf.reduce_mean(hidden, axis=[1, 2])


class ResidualBlock(tf.keras.layers.Layer):
    """Two 3x3 convolutions with batch norm, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = Convolution(3, inputs, outputs, stride)
        self.first_norm = BatchNorm(outputs)
        self.second = Convolution(3, outputs, outputs)
        self.second_norm = BatchNorm(outputs)
        self.shortcut = Convolution(1, inputs, outputs, stride) if stride > 1 else None

    def forward(self, images: tf.Tensor, mode: Mode) -> tf.Tensor:
        """(B, H, W, inputs) to (B, H / stride, W / stride, outputs)."""
        hidden = _layer(self.first, self.first_norm, images, mode)
        hidden = _layer(self.second, self.second_norm, hidden, mode, rectified=False)
        kept = images if self.shortcut is None else noted("", self.shortcut(images), self.shortcut)
        return noted("", (rectify if mode.fast else tf.nn.relu)(kept + hidden), self)


class PlainEncoder(tf.keras.layers.Layer):
    """Convolutions with batch norm, one after the other, for processors."""

    def __init__(self, channels: int, layers: Sequence[PlainLayer]) -> None:
        super().__init__()
        self.width = layers[-1].outputs
        self._pools = [layer.pool for layer in layers]
        inputs = channels
        for number, layer in enumerate(layers):
            convolution = Convolution(layer.size, inputs, layer.outputs, layer.stride)
            setattr(self, f"convolution{number}", convolution)
            setattr(self, f"norm{number}", BatchNorm(layer.outputs))
            inputs = layer.outputs

    def encode(self, images: tf.Tensor, mode: Mode) -> tf.Tensor:
        """(B, H, W, C) to (B, 128)."""
        hidden = images
        for number, pool in enumerate(self._pools):
            convolution = getattr(self, f"convolution{number}")
            hidden = _layer(convolution, getattr(self, f"norm{number}"), hidden, mode, pool)
        return tf.reduce_mean(hidden, axis=[1, 2])


def _layer(
    convolution: Convolution,
    norm: BatchNorm,
    images: tf.Tensor,
    mode: Mode,
    pool: int = 1,
    rectified: bool = True,
) -> tf.Tensor:
    """Convolution, the largest of pool x pool, batch norm, ReLU.

    It pools before it normalises, so that less is normalised.
    """
    if mode.fast and convolution.size == 3 and pool == 1:
        output, mean, variance = normalised_convolution(
            images,
            convolution.kernel,
            norm.gamma,
            norm.beta,
            NORM_EPSILON,
            convolution.stride,
            rectified,
        )
        mode.moments.append(Moments(norm, mean, variance))
        return noted("", output, norm)
    values = convolution(images)
    if pool > 1:
        values = tf.nn.max_pool2d(values, ksize=pool, strides=pool, padding="SAME")
    output = norm.normalise(values, mode)
    return noted("", tf.nn.relu(output) if rectified else output, norm)


def make_encoder(architecture: Architecture) -> tf.keras.layers.Layer:
    """The encoder that an architecture names."""
    channels = architecture.image_shape[-1]
    if architecture.encoder == RESNET32:
        return ResNet32(channels)
    return PlainEncoder(channels, PLAIN[architecture.encoder])


# --- the whole -------------------------------------------------------------------------------


class PrototypeNetwork(tf.keras.layers.Layer):
    """ProtoAttend (Arik and Pfister 2020, figure 1): one encoder, three heads, one classifier.

    `fast` trains by fast_layers; `detached`: no gradient of the attention reaches the encoder.
    """

    def __init__(
        self, architecture: Architecture, fast: bool = False, detached: bool = False
    ) -> None:
        super().__init__()
        self.architecture, self.fast, self.detached = architecture, fast, detached
        self.encoder = make_encoder(architecture)
        self.representation = Dense(self.encoder.width, architecture.final_units)
        self.representation_norm = LayerNorm(architecture.final_units)
        self.key = Dense(architecture.final_units, architecture.attention_dim)
        self.query = Dense(architecture.final_units, architecture.attention_dim)
        self.value = Dense(architecture.final_units, architecture.val_dim)
        self.value_norm = LayerNorm(architecture.val_dim)
        self.classifier = Dense(architecture.val_dim, architecture.classes, use_bias=False)

    def encode(self, images: tf.Tensor, training: bool, frozen: bool = False) -> Encoded:
        """Encodes standardised images (B, H, W, C).

        Args:
            frozen: the encoder stays as it is: its batch norms use their running statistics.
        """
        moments: List[Moments] = []
        mode = Mode(moments, self.fast) if training and not frozen else Mode()
        vectors = self.encoder.encode(images, mode)
        vectors = tf.stop_gradient(vectors) if frozen else vectors
        represented = self.representation_norm(tf.nn.relu(self.representation(vectors)))
        attending = tf.stop_gradient(represented) if self.detached else represented
        return Encoded(
            keys=tf.nn.relu(self.key(attending)),
            queries=tf.nn.relu(self.query(attending)),
            values=self.value_norm(tf.nn.relu(self.value(represented))),
            moments=moments,
        )

    def classify(self, values: tf.Tensor) -> tf.Tensor:
        """Logits of the classes (B, classes) from own, mixed or half-and-half values."""
        return self.classifier(values)


def standardised(images: tf.Tensor) -> tf.Tensor:
    """Images of bytes (B, H, W, C) as floats of mean 0 and deviation 1, each by itself.

    The deviation is at least 1/sqrt(H W C), as in tf.image.per_image_standardization.
    """
    floats = tf.cast(images, tf.keras.backend.floatx())
    mean, variance = tf.nn.moments(floats, axes=[1, 2, 3], keepdims=True)
    height, width, channels = images.shape.as_list()[1:]
    least = float(height * width * channels) ** -0.5
    return (floats - mean) / tf.maximum(tf.sqrt(variance), least)


def update_running_statistics(*batches: List[Moments]) -> List[tf.Operation]:
    """Operations that add the moments of batches to the running statistics, in their order."""
    operations = []
    for of_layer in zip(*batches):
        layer = of_layer[0].layer
        for variable, values in (
            (layer.moving_mean, [found.mean for found in of_layer]),
            (layer.moving_variance, [found.variance for found in of_layer]),
        ):
            running = variable.read_value()
            for value in values:
                running = running * MOMENTUM + value * (1 - MOMENTUM)
            operations.append(variable.assign(running))
    return operations


def load_weights(
    session: Any, network: Any, found: FoundCheckpoint, encoder_alone: bool = False
) -> None:
    """Puts a checkpoint's weights into a network, or its encoder's alone; see stored_weights."""
    weights = named_weights(network)
    shapes = {path: weight.shape.as_list() for path, weight in weights.items()}
    values = stored_weights(found, shapes, encoder_alone)
    session.run([weights[path].assign(value) for path, value in values.items()])
