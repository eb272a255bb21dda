"""The object discovery network: an autoencoder with Slot Attention between its halves.

Paper, section E.3; reference model.py SlotAttentionAutoEncoder. Attribute names are the
reference's, so that its object-based checkpoints fit.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from slot_attention.network.architecture import Architecture, Convolution, SlotSettings
from slot_attention.network.encoder import encoder_convolutions, feature_mlp, spatial_flatten
from slot_attention.network.position import SoftPositionEmbed
from slot_attention.network.slot_attention import SlotAttention, layer_norm


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


class SlotAttentionAutoEncoder(tf.keras.layers.Layer):
    """Encoder, Slot Attention, spatial broadcast decoder."""

    def __init__(self, architecture: Architecture, settings: SlotSettings) -> None:
        super().__init__()
        self.architecture, self.settings = architecture, settings
        self.encoder_cnn = encoder_convolutions(architecture.encoder)
        self.encoder_pos = SoftPositionEmbed(architecture.channels, architecture.features)
        self.layer_norm = layer_norm()
        self.mlp = feature_mlp(architecture.channels)
        self.slot_attention = SlotAttention(settings)
        self.decoder_pos = SoftPositionEmbed(settings.size, architecture.broadcast)
        self.decoder_cnn = _decoder_convolutions(architecture.decoder)

    def call(self, images: tf.Tensor, noise: Optional[tf.Tensor] = None) -> Discovery:
        """Images (B, height, width, 3) in [-1, 1] and noise (B, K, D) to what is found."""
        features = self.mlp(
            self.layer_norm(spatial_flatten(self.encoder_pos(self.encoder_cnn(images))))
        )
        slots, attention = self.slot_attention(features, noise)
        decoded = self.decoder_cnn(self.decoder_pos(self._broadcast(slots)))
        reconstructions, masks = self._split(decoded)
        combined = tf.reduce_sum(reconstructions * masks, axis=1)
        return Discovery(combined, reconstructions, masks, slots, attention, features)

    def _broadcast(self, slots: tf.Tensor) -> tf.Tensor:
        """Repeats each slot over a grid: (B, K, D) to (B * K, size, size, D)."""
        size = self.architecture.broadcast
        grid = tf.reshape(slots, [-1, 1, 1, self.settings.size])
        return tf.tile(grid, [1, size, size, 1])

    def _split(self, decoded: tf.Tensor):
        """(B * K, height, width, 4) to RGB per slot and masks that add up to one."""
        size = self.architecture.resolution
        decoded = tf.reshape(decoded, [-1, self.settings.count, size, size, 4])
        channels, logits = tf.split(decoded, [3, 1], axis=-1)
        return noted("reconstructions", channels), noted("masks", tf.nn.softmax(logits, axis=1))


def _decoder_convolutions(convolutions: Sequence[Convolution]) -> tf.keras.Sequential:
    last = len(convolutions) - 1
    return tf.keras.Sequential(
        [
            tf.keras.layers.Conv2DTranspose(
                item.channels,
                item.kernel,
                strides=(item.stride, item.stride),
                padding="SAME",
                activation=None if index == last else "relu",
            )
            for index, item in enumerate(convolutions)
        ]
    )
