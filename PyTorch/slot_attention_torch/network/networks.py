"""The two networks around Slot Attention: an autoencoder for object discovery, a set predictor.

Paper, sections E.2 and E.3. Arrays are laid out as in TensorFlow, channels last, and attributes
have the same names, so that weights and dumps of either framework fit the other.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import nn

from common.training.torch.activations import noted
from common.training.torch.layers import (
    RELU,
    SIGMOID,
    Conv2D,
    Conv2DTranspose,
    Dense,
    LayerNorm,
)
from slot_attention.network.architecture import (
    ATTRIBUTES,
    Convolution,
    SlotSettings,
    position_grid,
    reduced,
    set_encoder,
)
from slot_attention.network.choice import NetworkChoice
from slot_attention.options import OBJECT_DISCOVERY
from slot_attention_torch.network.slot_attention import SlotAttention

Found = Dict[str, Any]  # a plain dictionary passes every wrapper of a network


class SoftPositionEmbed(nn.Module):
    """Adds a learned linear map of the position to inputs (B, size, size, channels)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.dense = Dense(4, channels)
        # Always at hand, never in checkpoints: torch 1.8 has persistent=False.
        self.register_buffer("grid", torch.from_numpy(position_grid(size)), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Returns inputs + dense(grid)."""
        return inputs + self.dense(self.grid)


class _SlotNetwork(nn.Module):
    """What both begin with: convolutions, positions, a set of features, slots."""

    def __init__(
        self, resolution: int, encoder: Sequence[Convolution], settings: SlotSettings
    ) -> None:
        super().__init__()
        self.settings, channels = settings, encoder[-1].channels
        taken = [3] + [item.channels for item in encoder]
        self.encoder_cnn = nn.Sequential(
            *(
                Conv2D(given, item.channels, item.kernel, item.stride, RELU)
                for given, item in zip(taken, encoder)
            )
        )
        size = reduced(resolution, [item.stride for item in encoder])
        self.encoder_pos = SoftPositionEmbed(channels, size)
        self.layer_norm = LayerNorm(channels)
        self.mlp = nn.Sequential(Dense(channels, channels, RELU), Dense(channels, channels))
        self.slot_attention = SlotAttention(channels, settings)

    def _slots_of(
        self, images: torch.Tensor, noise: Optional[torch.Tensor]
    ) -> Tuple[torch.Tensor, torch.Tensor, List[torch.Tensor]]:
        """Features (B, N, channels), slots (B, K, D), attention per iteration (B, N, K)."""
        encoded = self.encoder_pos(self.encoder_cnn(images))
        features = self.mlp(self.layer_norm(encoded.flatten(1, 2)))
        slots, attention = self.slot_attention(features, noise)
        return features, slots, attention


class SlotAttentionAutoEncoder(_SlotNetwork):
    """Object discovery: encoder, Slot Attention, spatial broadcast decoder."""

    def __init__(self, choice: NetworkChoice) -> None:
        architecture, settings = choice.architecture, choice.slots
        super().__init__(architecture.resolution, architecture.encoder, settings)
        self.architecture = architecture
        self.decoder_pos = SoftPositionEmbed(settings.size, architecture.broadcast)
        last, taken = len(architecture.decoder) - 1, [settings.size]
        taken += [item.channels for item in architecture.decoder]
        self.decoder_cnn = nn.Sequential(
            *(
                Conv2DTranspose(
                    given,
                    item.channels,
                    item.kernel,
                    item.stride,
                    None if index == last else RELU,
                )
                for index, (given, item) in enumerate(zip(taken, architecture.decoder))
            )
        )

    def forward(self, images: torch.Tensor, noise: Optional[torch.Tensor] = None) -> Found:
        """Images (B, height, width, 3) in [-1, 1] and noise (B, K, D) to what is found.

        combined: (B, height, width, 3), the reconstruction. reconstructions: (B, K, height, width,
        3). masks: (B, K, height, width, 1), a softmax over slots. slots: (B, K, D). attention: per
        iteration (B, N, K). features: (B, N, channels).
        """
        features, slots, attention = self._slots_of(images, noise)
        grid, size = self.architecture.broadcast, self.architecture.resolution
        single = slots.reshape(-1, 1, 1, self.settings.size).expand(-1, grid, grid, -1)
        decoded = self.decoder_cnn(self.decoder_pos(single))
        decoded = decoded.reshape(-1, self.settings.count, size, size, 4)
        reconstructions = noted("reconstructions", decoded[..., :3], self)
        masks = noted("masks", torch.softmax(decoded[..., 3:], 1), self)
        combined = (reconstructions * masks).sum(1)
        return {
            "combined": combined,
            "reconstructions": reconstructions,
            "masks": masks,
            "slots": slots,
            "attention": attention,
            "features": features,
        }


class SlotAttentionClassifier(_SlotNetwork):
    """Set prediction: encoder, Slot Attention, and per slot the properties of one object."""

    def __init__(self, choice: NetworkChoice) -> None:
        super().__init__(choice.resolution, set_encoder(choice.strides), choice.slots)
        size = choice.slots.size
        self.mlp_classifier = nn.Sequential(Dense(size, 64, RELU), Dense(64, ATTRIBUTES, SIGMOID))

    def forward(self, images: torch.Tensor, noise: Optional[torch.Tensor] = None) -> Found:
        """Images (B, height, width, 3) in [-1, 1] and noise (B, K, D) to predicted properties.

        predictions: (B, K, 19) in [0, 1]. slots: (B, K, D). attention: per iteration (B, N, K).
        """
        _, slots, attention = self._slots_of(images, noise)
        return {"predictions": self.mlp_classifier(slots), "slots": slots, "attention": attention}


def network_of(task: str, choice: NetworkChoice) -> nn.Module:
    """The network of a task, with torch's own first weights."""
    kind = SlotAttentionAutoEncoder if task == OBJECT_DISCOVERY else SlotAttentionClassifier
    return kind(choice)


def scaled_pixels(images: torch.Tensor) -> torch.Tensor:
    """RGB bytes as float32 in [-1, 1], rounded stepwise as the reference does."""
    return ((images.float() / 255.0) - 0.5) * 2.0
