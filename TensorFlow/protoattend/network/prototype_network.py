"""The whole network: images to keys, queries and values, and those to classes."""

from __future__ import annotations

from typing import List, NamedTuple

from common.training.tensorflow.runtime import tf
from protoattend.network.architecture import Architecture
from protoattend.network.encoders import make_encoder
from protoattend.network.layers import MOMENTUM, Dense, LayerNorm, Mode, Moments


class Encoded(NamedTuple):
    """What the network makes of images: keys and queries (B, D), values (B, V)."""

    keys: tf.Tensor
    queries: tf.Tensor
    values: tf.Tensor
    moments: List[Moments]


class PrototypeNetwork(tf.keras.layers.Layer):
    """ProtoAttend (Arik and Pfister 2020, figure 1): one encoder, three heads, one classifier.

    `fast` trains by fast_layers.
    """

    def __init__(self, architecture: Architecture, fast: bool = False) -> None:
        super().__init__()
        self.architecture, self.fast = architecture, fast
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
        return Encoded(
            keys=tf.nn.relu(self.key(represented)),
            queries=tf.nn.relu(self.query(represented)),
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
