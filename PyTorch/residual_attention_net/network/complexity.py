"""How large a network is and how much it computes, measured on the network itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

import torch
from torch import nn

from residual_attention_net.network.model import ResidualAttentionNetwork, evaluating

COUNTED_LAYERS = (nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class Complexity:
    """Parameters that are trained, and multiply-accumulates of one forward pass of one sample."""

    parameters: int
    multiply_accumulates: int


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def measure_complexity(network: ResidualAttentionNetwork) -> Complexity:
    """Run one sample of zeros and count the convolutions' and linear layers' operations.

    Batch norm, activations, pools and interpolations are not counted, as is usual. The network
    keeps its mode and its batch-norm statistics.
    """
    counts: List[int] = []

    def count(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        # Each output value is one sum over a filter: all of the weight but its first axis.
        counts.append(output.numel() * layer.weight[0].numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, COUNTED_LAYERS)
    ]
    try:
        with evaluating(network), torch.no_grad():
            network(next(network.parameters()).new_zeros((1,) + network.input_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return Complexity(count_parameters(network), sum(counts))
