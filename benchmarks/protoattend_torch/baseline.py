"""The plain baseline: ProtoAttend's training step as one writes it in torch, layer by layer.

The reference's mathematics (benchmarks/protoattend/baseline.py) with torch's own layers, a
sparsemax by a full sort whose gradient is autograd's, and torch's Adam. It imports nothing of the
project.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Tuple

import torch
from torch import nn
from torch.nn import functional

STAGES, BLOCKS, FIRST_CHANNELS = 3, 5, 16
FINAL_UNITS, ATTENTION_SIZE, VALUE_SIZE, CLASSES = 256, 16, 64, 10
SPARSITY_EPSILON, SPARSITY_WEIGHT, GRADIENT_LIMIT = 1e-6, 1e-4, 20.0


class Block(nn.Module):
    """Two convolutions with batch norm beside a skip connection."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 0 if stride > 1 else 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, outputs, H / stride, W / stride)."""
        padded = functional.pad(inputs, (0, 1, 0, 1)) if self.stride > 1 else inputs
        hidden = functional.relu(self.norm1(self.conv1(padded)))
        hidden = self.norm2(self.conv2(hidden))
        return functional.relu(hidden + (inputs if self.skip is None else self.skip(inputs)))


class Network(nn.Module):
    """ResNet-32, then keys, queries and values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, FIRST_CHANNELS, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(FIRST_CHANNELS)
        blocks, inputs = [], FIRST_CHANNELS
        for stage in range(STAGES):
            outputs = FIRST_CHANNELS * 2**stage
            for number in range(BLOCKS):
                blocks.append(Block(inputs, outputs, 2 if stage and not number else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.dense, self.dense_norm = nn.Linear(inputs, FINAL_UNITS), nn.LayerNorm(FINAL_UNITS)
        self.key = nn.Linear(FINAL_UNITS, ATTENTION_SIZE)
        self.query = nn.Linear(FINAL_UNITS, ATTENTION_SIZE)
        self.value, self.value_norm = nn.Linear(FINAL_UNITS, VALUE_SIZE), nn.LayerNorm(VALUE_SIZE)
        self.classify = nn.Linear(VALUE_SIZE, CLASSES, bias=False)

    def forward(self, images: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Standardised images (B, 1, 28, 28) to keys, queries and values."""
        features = self.blocks(functional.relu(self.norm(self.conv(images)))).mean((2, 3))
        features = self.dense_norm(functional.relu(self.dense(features)))
        keys, queries = functional.relu(self.key(features)), functional.relu(self.query(features))
        return keys, queries, self.value_norm(functional.relu(self.value(features)))


def sparsemax(logits: torch.Tensor) -> torch.Tensor:
    """The projection of each row of (B, C) on the simplex, by a full sort of the row."""
    descending = torch.sort(logits, dim=1, descending=True)[0]
    sums = descending.cumsum(1)
    ranks = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
    support = (1 + ranks * descending > sums).sum(1, keepdim=True)
    threshold = (sums.gather(1, support - 1) - 1) / support
    return functional.relu(logits - threshold)


def loss_of(network: nn.Module, batch: Dict[str, torch.Tensor]) -> torch.Tensor:
    """The training loss of standardised images with labels and candidates."""
    _, queries, values = network(batch["images"])
    keys, _, candidate_values = network(batch["candidates"])
    weights = sparsemax(queries @ keys.t() / math.sqrt(ATTENTION_SIZE))
    mixed = weights @ candidate_values
    entropy = -(weights * torch.log(SPARSITY_EPSILON + weights)).sum(1).mean()
    sparsity = entropy - math.log(SPARSITY_EPSILON + len(keys))
    terms = (network.classify(one) for one in (values, mixed, (values + mixed) / 2))
    return SPARSITY_WEIGHT * sparsity + sum(
        functional.cross_entropy(one, batch["labels"]) for one in terms
    )


def trainer(device: torch.device) -> Callable[[Any], torch.Tensor]:
    """A step on a batch, with its network and optimizer."""
    torch.manual_seed(0)
    network = Network().to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(batch: Dict[str, torch.Tensor]) -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(network, batch)
        loss.backward()
        nn.utils.clip_grad_value_(network.parameters(), GRADIENT_LIMIT)
        optimizer.step()
        return loss

    return step
