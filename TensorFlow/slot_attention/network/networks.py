"""The two networks around Slot Attention: an autoencoder for object discovery, a set predictor.

Paper, sections E.2 and E.3; reference model.py. Attribute names are the reference's, so that its
object-based checkpoints fit.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from slot_attention.network.architecture import (
    ATTRIBUTES,
    SET_STRIDES,
    Architecture,
    Convolution,
    SlotSettings,
    position_grid,
    reduced,
    set_encoder,
)
from slot_attention.network.choice import NetworkChoice
from slot_attention.network.slot_attention import SlotAttention, layer_norm
from slot_attention.options import OBJECT_DISCOVERY


class Discovery(NamedTuple):
    """What the autoencoder makes of images (B, height, width, 3).

    combined: (B, height, width, 3), the reconstruction. reconstructions: (B, K, height, width, 3).
    masks: (B, K, height, width, 1), a softmax over slots. slots: (B, K, D). attention: per
    iteration (B, N, K). features: (B, N, channels).
    """

    combined: tf.Tensor
    reconstructions: tf.Tensor
    masks: tf.Tensor
    slots: tf.Tensor
    attention: List[tf.Tensor]
    features: tf.Tensor


class SetPrediction(NamedTuple):
    """predictions: (B, K, 19) in [0, 1]. slots: (B, K, D). attention: per iteration (B, N, K)."""

    predictions: tf.Tensor
    slots: tf.Tensor
    attention: List[tf.Tensor]


class SoftPositionEmbed(tf.keras.layers.Layer):
    """Adds a learned linear map of the position to inputs (B, size, size, channels)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.dense = tf.keras.layers.Dense(channels, use_bias=True)
        self.grid = position_grid(size)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns inputs + dense(grid)."""
        return inputs + self.dense(tf.constant(self.grid, dtype=inputs.dtype))


class _SlotNetwork(tf.keras.layers.Layer):
    """What both begin with: convolutions, positions, a set of features, slots."""

    def __init__(
        self, resolution: int, encoder: Sequence[Convolution], settings: SlotSettings
    ) -> None:
        super().__init__()
        self.settings, channels = settings, encoder[-1].channels
        self.encoder_cnn = tf.keras.Sequential(
            [
                tf.keras.layers.Conv2D(
                    item.channels,
                    kernel_size=item.kernel,
                    strides=item.stride,
                    padding="SAME",
                    activation="relu",
                )
                for item in encoder
            ]
        )
        size = reduced(resolution, [item.stride for item in encoder])
        self.encoder_pos = SoftPositionEmbed(channels, size)
        self.layer_norm = layer_norm()
        self.mlp = tf.keras.Sequential(
            [tf.keras.layers.Dense(channels, activation="relu"), tf.keras.layers.Dense(channels)]
        )
        self.slot_attention = SlotAttention(settings)

    def _slots_of(
        self, images: tf.Tensor, noise: Optional[tf.Tensor]
    ) -> Tuple[tf.Tensor, tf.Tensor, List[tf.Tensor]]:
        """Features (B, N, channels), slots (B, K, D), attention per iteration (B, N, K)."""
        encoded = self.encoder_pos(self.encoder_cnn(images))
        height, width, channels = encoded.shape.as_list()[1:]
        flat = tf.reshape(encoded, [-1, height * width, channels])
        features = self.mlp(self.layer_norm(flat))
        slots, attention = self.slot_attention(features, noise)
        return features, slots, attention


class SlotAttentionAutoEncoder(_SlotNetwork):
    """Object discovery: encoder, Slot Attention, spatial broadcast decoder."""

    def __init__(self, architecture: Architecture, settings: SlotSettings) -> None:
        super().__init__(architecture.resolution, architecture.encoder, settings)
        self.architecture = architecture
        self.decoder_pos = SoftPositionEmbed(settings.size, architecture.broadcast)
        last = len(architecture.decoder) - 1
        self.decoder_cnn = tf.keras.Sequential(
            [
                tf.keras.layers.Conv2DTranspose(
                    item.channels,
                    item.kernel,
                    strides=(item.stride, item.stride),
                    padding="SAME",
                    activation=None if index == last else "relu",
                )
                for index, item in enumerate(architecture.decoder)
            ]
        )

    def call(self, images: tf.Tensor, noise: Optional[tf.Tensor] = None) -> Discovery:
        """Images (B, height, width, 3) in [-1, 1] and noise (B, K, D) to what is found."""
        features, slots, attention = self._slots_of(images, noise)
        grid, size = self.architecture.broadcast, self.architecture.resolution
        single = tf.reshape(slots, [-1, 1, 1, self.settings.size])
        decoded = self.decoder_cnn(self.decoder_pos(tf.tile(single, [1, grid, grid, 1])))
        decoded = tf.reshape(decoded, [-1, self.settings.count, size, size, 4])
        channels, logits = tf.split(decoded, [3, 1], axis=-1)
        reconstructions = noted("reconstructions", channels)
        masks = noted("masks", tf.nn.softmax(logits, axis=1))
        combined = tf.reduce_sum(reconstructions * masks, axis=1)
        return Discovery(combined, reconstructions, masks, slots, attention, features)


class SlotAttentionClassifier(_SlotNetwork):
    """Set prediction: encoder, Slot Attention, and per slot the properties of one object."""

    def __init__(
        self, resolution: int, settings: SlotSettings, strides: Sequence[int] = SET_STRIDES
    ) -> None:
        super().__init__(resolution, set_encoder(strides), settings)
        self.mlp_classifier = tf.keras.Sequential(
            [
                tf.keras.layers.Dense(64, activation="relu"),
                tf.keras.layers.Dense(ATTRIBUTES, activation="sigmoid"),
            ]
        )

    def call(self, images: tf.Tensor, noise: Optional[tf.Tensor] = None) -> SetPrediction:
        """Images (B, height, width, 3) in [-1, 1] and noise (B, K, D) to predicted properties."""
        _, slots, attention = self._slots_of(images, noise)
        return SetPrediction(self.mlp_classifier(slots), slots, attention)


def network_of(task: str, choice: NetworkChoice) -> _SlotNetwork:
    """The network of a task, which makes its variables when it is first called."""
    if task == OBJECT_DISCOVERY:
        return SlotAttentionAutoEncoder(choice.architecture, choice.slots)
    return SlotAttentionClassifier(choice.resolution, choice.slots, choice.strides)
