"""What both networks do before attention: convolutions, positions, a set of features."""

from __future__ import annotations

from typing import Sequence

from common.training.tensorflow.runtime import tf
from slot_attention.network.architecture import Convolution


def encoder_convolutions(convolutions: Sequence[Convolution]) -> tf.keras.Sequential:
    """Convolutions with SAME padding, each followed by ReLU."""
    return tf.keras.Sequential(
        [
            tf.keras.layers.Conv2D(
                item.channels,
                kernel_size=item.kernel,
                strides=item.stride,
                padding="SAME",
                activation="relu",
            )
            for item in convolutions
        ]
    )


def feature_mlp(channels: int) -> tf.keras.Sequential:
    """The position-wise MLP before attention: two layers, ReLU between."""
    return tf.keras.Sequential(
        [tf.keras.layers.Dense(channels, activation="relu"), tf.keras.layers.Dense(channels)]
    )


def spatial_flatten(features: tf.Tensor) -> tf.Tensor:
    """Turns (B, height, width, channels) into (B, height * width, channels)."""
    height, width, channels = features.shape.as_list()[1:]
    return tf.reshape(features, [-1, height * width, channels])
