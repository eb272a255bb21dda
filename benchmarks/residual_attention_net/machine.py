"""The machine's memory bandwidth, and what the network needs of operations and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List

import torch
from torch import nn

from benchmarks.residual_attention_net import baseline
from benchmarks.shared.torch_rate import median_seconds
from common.training.torch import runtime as torch_runtime

COPY_ELEMENTS = 1 << 25
PASSES = 3  # forward, gradient of the input, gradient of the weights
OPTIMIZER_PASSES = 5  # read weight, gradient and momentum, write weight and momentum
BYTES_PER_NUMBER = {torch.float32: 4, torch.bfloat16: 2, torch.float16: 2}


@dataclass(frozen=True)
class Needs:
    """What one training image costs at least.

    Attributes:
        operations: floating-point operations of its convolutions and its linear layer.
        activations: numbers that these layers read and write, each layer on its own.
        weights: the network's parameters.
    """

    operations: float
    activations: float
    weights: float

    def bytes_per_image(self, dtype: torch.dtype, batch_size: int) -> float:
        """Bytes moved per image: activations in `dtype`, weights and optimizer in float32."""
        return (
            self.activations * BYTES_PER_NUMBER[dtype]
            + self.weights * OPTIMIZER_PASSES * 4 / batch_size
        )


def measure_needs() -> Needs:
    """Count on the baseline, with one image."""
    found: List[List[float]] = []

    def count(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        operations = 2.0 * output.numel() * layer.weight[0].numel()
        found.append([operations, float(inputs[0].numel() + output.numel())])

    network = baseline.BaselineNetwork().eval()
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, baseline.IMAGE_SIZE, baseline.IMAGE_SIZE))
    operations, activations = (sum(column) for column in zip(*found))
    weights = sum(parameter.numel() for parameter in network.parameters())
    return Needs(PASSES * operations, PASSES * activations, float(weights))


def copy_bandwidth(device: torch_runtime.TorchDevice) -> float:
    """Bytes a second of copying 128 MiB, read and written bytes both counted."""
    source = torch.ones(COPY_ELEMENTS, device=device.device)
    target = torch.empty_like(source)
    return 2.0 * 4 * COPY_ELEMENTS / median_seconds(device, lambda: target.copy_(source))
