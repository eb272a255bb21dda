"""The set prediction network (paper, section E.3; reference model.py SlotAttentionClassifier)."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

from common.training.tensorflow.runtime import tf
from slot_attention.network.architecture import SET_STRIDES, Convolution, SlotSettings
from slot_attention.network.encoder import encoder_convolutions, feature_mlp, spatial_flatten
from slot_attention.network.position import SoftPositionEmbed
from slot_attention.network.slot_attention import SlotAttention, layer_norm

ATTRIBUTES = 19
_CHANNELS = 64


class SetPrediction(NamedTuple):
    """predictions: (B, K, 19) in [0, 1]. slots: (B, K, D). attention: per iteration (B, N, K)."""

    predictions: tf.Tensor
    slots: tf.Tensor
    attention: List[tf.Tensor]


class SlotAttentionClassifier(tf.keras.layers.Layer):
    """Encoder, Slot Attention, and per slot the properties of one object."""

    def __init__(
        self, resolution: int, settings: SlotSettings, strides: Sequence[int] = SET_STRIDES
    ) -> None:
        super().__init__()
        self.encoder_cnn = encoder_convolutions(
            [Convolution(5, _CHANNELS, stride) for stride in strides]
        )
        size = resolution
        for stride in strides:
            size = -(-size // stride)
        self.encoder_pos = SoftPositionEmbed(_CHANNELS, size)
        self.layer_norm = layer_norm()
        self.mlp = feature_mlp(_CHANNELS)
        self.slot_attention = SlotAttention(settings)
        self.mlp_classifier = tf.keras.Sequential(
            [
                tf.keras.layers.Dense(64, activation="relu"),
                tf.keras.layers.Dense(ATTRIBUTES, activation="sigmoid"),
            ]
        )

    def call(self, images: tf.Tensor, noise: Optional[tf.Tensor] = None) -> SetPrediction:
        """Images (B, height, width, 3) in [-1, 1] and noise (B, K, D) to predicted properties."""
        features = self.mlp(
            self.layer_norm(spatial_flatten(self.encoder_pos(self.encoder_cnn(images))))
        )
        slots, attention = self.slot_attention(features, noise)
        return SetPrediction(self.mlp_classifier(slots), slots, attention)
