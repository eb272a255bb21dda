"""From images to feature vectors: ResNet-32, and plain networks for processors."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from protoattend.network.architecture import MEDIUM, POOLED, RESNET32, SMALL, Architecture
from protoattend.network.fast_layers import normalised_convolution, rectify
from protoattend.network.layers import NORM_EPSILON, BatchNorm, Convolution, Mode, Moments

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
    SMALL: (PlainLayer(5, 32, 2), PlainLayer(3, 64), PlainLayer(3, 64, 2), PlainLayer(3, 128, 2)),
    MEDIUM: (
        PlainLayer(3, 32),
        PlainLayer(3, 64, 2),
        PlainLayer(3, 64),
        PlainLayer(3, 128, 2),
        PlainLayer(3, 128),
    ),
    POOLED: (
        PlainLayer(3, 32, pool=2),
        PlainLayer(3, 64),
        PlainLayer(3, 64, pool=2),
        PlainLayer(3, 128),
        PlainLayer(3, 128),
    ),
}


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
