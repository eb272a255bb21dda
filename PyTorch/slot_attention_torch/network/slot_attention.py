"""The Slot Attention module (paper, algorithm 1), weight by weight the TensorFlow network's."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import torch
from torch import nn

from common.training.torch.activations import noted
from common.training.torch.layers import RELU, Dense, GRUCell, LayerNorm
from slot_attention.network.architecture import LEARNED, SlotSettings

EPSILON = 1e-8


class SlotAttention(nn.Module):
    """Maps inputs (B, N, channels) to K slots (B, K, D) that compete for them."""

    def __init__(self, channels: int, settings: SlotSettings) -> None:
        super().__init__()
        self.settings, size = settings, settings.size
        self.norm_inputs = LayerNorm(channels)
        self.norm_slots = LayerNorm(size)
        self.norm_mlp = LayerNorm(size)
        self.project_q = Dense(size, size, bias=False)
        self.project_k = Dense(channels, size, bias=False)
        self.project_v = Dense(channels, size, bias=False)
        self.gru = GRUCell(size, size)
        self.mlp = nn.Sequential(Dense(size, settings.hidden, RELU), Dense(settings.hidden, size))
        if settings.initial == LEARNED:
            self.slots_initial = nn.Parameter(torch.zeros(1, settings.count, size))
        else:
            self.slots_mu = nn.Parameter(torch.zeros(1, 1, size))
            self.slots_log_sigma = nn.Parameter(torch.zeros(1, 1, size))

    def forward(self, inputs: torch.Tensor, noise: Optional[torch.Tensor] = None) -> Any:
        """Runs T iterations: to slots (B, K, D), and per iteration the attention (B, N, K).

        Args:
            noise: (B, K, D), standard normal; unused where the initial slots are learned.
        """
        inputs = self.norm_inputs(inputs)
        keys, values = self.project_k(inputs), self.project_v(inputs)
        initial = slots = noted("initial", self._initial_slots(len(inputs), noise), self)
        attention = []
        for iteration in range(self.settings.iterations):
            if self.settings.implicit and iteration == self.settings.iterations - 1:
                slots = self._cut_gradient(slots, initial)
            slots, weights = self._iterate(slots, keys, values)
            attention.append(weights)
        return slots, attention

    def _initial_slots(self, batch: int, noise: Optional[torch.Tensor]) -> torch.Tensor:
        if self.settings.initial == LEARNED:
            return self.slots_initial.expand(batch, -1, -1)
        return self.slots_mu + torch.exp(self.slots_log_sigma) * noise

    def _cut_gradient(self, slots: torch.Tensor, initial: torch.Tensor) -> torch.Tensor:
        """Stops the gradient of earlier iterations; learned initial slots get it straight.

        Those of a Gaussian get zeros: of several ranks each weight must get something.
        """
        if self.settings.initial == LEARNED:
            return slots.detach() + initial - initial.detach()
        return slots.detach() + 0.0 * initial

    def _iterate(
        self, slots: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        queries = self.project_q(self.norm_slots(slots)) * self.settings.size**-0.5
        logits = torch.matmul(keys, queries.transpose(1, 2))
        attention = noted("attention", torch.softmax(logits, -1), self)
        weights = attention + EPSILON
        weights = weights / weights.sum(-2, keepdim=True)
        updates = torch.matmul(weights.transpose(1, 2), values)
        (new,) = self.gru(updates.flatten(0, 1), slots.flatten(0, 1))
        slots = new.view_as(slots)
        return noted("slots", slots + self.mlp(self.norm_mlp(slots)), self), attention
