"""From images to feature vectors: ResNet-32, and plain networks for processors."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from protoattend.network.architecture import MEDIUM, POOLED, RESNET32, SMALL, Architecture
from protoattend.network.fast_layers import normalised_convolution, rectify
from protoattend.network.layers import (
    NORM_EPSILON,
    BatchNorm,
    Convolution,
    Moments,
    Normalised,
)

STAGE_CHANNELS = (16, 32, 64)
BLOCKS = 5


class PlainLayer(NamedTuple):
    """A convolution of size x size pixels, and the largest of pool x pool of its outputs."""

    size: int
    outputs: int
    stride: int = 1
    pool: int = 1


# An eighth, two fifths and two fifths of ResNet-32's operations.
PLAIN = {
    SMALL: (
        PlainLayer(5, 32, 2),
        PlainLayer(3, 64, 1),
        PlainLayer(3, 64, 2),
        PlainLayer(3, 128, 2),
    ),
    MEDIUM: (
        PlainLayer(3, 32, 1),
        PlainLayer(3, 64, 2),
        PlainLayer(3, 64, 1),
        PlainLayer(3, 128, 2),
        PlainLayer(3, 128, 1),
    ),
    POOLED: (
        PlainLayer(3, 32, pool=2),
        PlainLayer(3, 64),
        PlainLayer(3, 64, pool=2),
        PlainLayer(3, 128),
        PlainLayer(3, 128),
    ),
}


class Features(NamedTuple):
    """Feature vectors (B, width), and in training the moments of every batch norm."""

    vectors: tf.Tensor
    moments: List[Moments]


class ResNet32(tf.keras.layers.Layer):
    """The residual network for CIFAR (He et al. 2016, section 4.2), with 1x1 shortcuts.

    Three stages of five blocks; the first block of the second and third halves the resolution. At
    the end a mean over the whole image, which for 28x28 is the reference's 7x7 pooling.
    """

    def __init__(self, channels: int, fast: bool = False) -> None:
        super().__init__()
        self.width, self.fast = STAGE_CHANNELS[-1], fast
        self.entry = Convolution(3, channels, STAGE_CHANNELS[0])
        self.entry_norm = BatchNorm(STAGE_CHANNELS[0])
        self._blocks = []
        inputs = STAGE_CHANNELS[0]
        for stage, outputs in enumerate(STAGE_CHANNELS):
            for number in range(BLOCKS):
                block = ResidualBlock(inputs, outputs, 2 if stage and not number else 1, fast)
                setattr(self, f"stage{stage}_block{number}", block)
                self._blocks.append(block)
                inputs = outputs

    def encode(self, images: tf.Tensor, training: bool) -> Features:
        """(B, H, W, C) to (B, 64)."""
        moments: List[Moments] = []
        entered = _layer(self.entry, self.entry_norm, images, training, True, self.fast)
        _note(moments, entered)
        hidden = entered.output
        for block in self._blocks:
            hidden = block.forward(hidden, training, moments)
        return Features(tf.reduce_mean(hidden, axis=[1, 2]), moments)


class ResidualBlock(tf.keras.layers.Layer):
    """Two 3x3 convolutions with batch norm, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int, fast: bool = False) -> None:
        super().__init__()
        self.fast = fast
        self.first = Convolution(3, inputs, outputs, stride)
        self.first_norm = BatchNorm(outputs)
        self.second = Convolution(3, outputs, outputs)
        self.second_norm = BatchNorm(outputs)
        self.shortcut = Convolution(1, inputs, outputs, stride) if stride > 1 else None

    def forward(self, images: tf.Tensor, training: bool, moments: List[Moments]) -> tf.Tensor:
        """Adds its moments to `moments`."""
        first = _layer(self.first, self.first_norm, images, training, True, self.fast)
        second = _layer(self.second, self.second_norm, first.output, training, False, self.fast)
        _note(moments, first, second)
        kept = images if self.shortcut is None else noted("", self.shortcut(images), self.shortcut)
        total = kept + second.output
        return noted("", rectify(total) if self.fast and training else tf.nn.relu(total), self)


class PlainEncoder(tf.keras.layers.Layer):
    """Convolutions with batch norm, one after the other, for processors."""

    def __init__(self, channels: int, layers: Sequence[PlainLayer], fast: bool = False) -> None:
        super().__init__()
        self.width, self.fast = layers[-1].outputs, fast
        self._pairs = []
        inputs = channels
        for number, layer in enumerate(layers):
            pair = (
                Convolution(layer.size, inputs, layer.outputs, layer.stride),
                BatchNorm(layer.outputs),
            )
            for name, part in zip(("convolution{}", "norm{}"), pair):
                setattr(self, name.format(number), part)
            self._pairs.append((*pair, layer.pool))
            inputs = layer.outputs

    def encode(self, images: tf.Tensor, training: bool) -> Features:
        """(B, H, W, C) to (B, 128)."""
        moments: List[Moments] = []
        hidden = images
        for convolution, norm, pool in self._pairs:
            if pool == 1:
                normalised = _layer(convolution, norm, hidden, training, True, self.fast)
            else:
                normalised = _pooled_layer(convolution, norm, pool, hidden, training)
            _note(moments, normalised)
            hidden = normalised.output
        return Features(tf.reduce_mean(hidden, axis=[1, 2]), moments)


def _layer(
    convolution: Convolution,
    norm: BatchNorm,
    images: tf.Tensor,
    training: bool,
    rectified: bool,
    fast: bool,
) -> Normalised:
    """Convolution, batch norm and, where `rectified`, ReLU."""
    if fast and training and convolution.size == 3:
        found = normalised_convolution(
            images,
            convolution.kernel,
            norm.gamma,
            norm.beta,
            NORM_EPSILON,
            convolution.stride,
            rectified,
        )
        moments = Moments(norm, found.mean, found.variance)
        return Normalised(noted("", found.outputs, norm), moments)
    plain = norm.normalise(convolution(images), training)
    output = tf.nn.relu(plain.output) if rectified else plain.output
    return plain._replace(output=noted("", output, norm))


def _pooled_layer(
    convolution: Convolution, norm: BatchNorm, pool: int, images: tf.Tensor, training: bool
) -> Normalised:
    """Convolution, max pooling, batch norm and ReLU: pooled first, so that less is normalised."""
    pooled = tf.nn.max_pool2d(convolution(images), ksize=pool, strides=pool, padding="SAME")
    plain = norm.normalise(pooled, training)
    return plain._replace(output=noted("", tf.nn.relu(plain.output), norm))


def _note(moments: List[Moments], *normalised) -> None:
    moments.extend(found.moments for found in normalised if found.moments is not None)


def make_encoder(architecture: Architecture, fast: bool = False) -> tf.keras.layers.Layer:
    """The encoder that an architecture names; `fast`: by fast_layers."""
    channels = architecture.image_shape[-1]
    if architecture.encoder == RESNET32:
        return ResNet32(channels, fast)
    return PlainEncoder(channels, PLAIN[architecture.encoder], fast)
