"""Plain torch: both networks and their training step as users write them, channels first.

It imports nothing of the project, and pads so that sizes and operations are TensorFlow's.
"""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional

OBJECT_DISCOVERY, SET_PREDICTION = "object_discovery", "set_prediction"
RESOLUTION, SIZE, HIDDEN = 128, 64, 128
NUM_SLOTS = {OBJECT_DISCOVERY: 7, SET_PREDICTION: 10}
STRIDES = {OBJECT_DISCOVERY: (1, 1, 1, 1), SET_PREDICTION: (1, 2, 2, 1)}


class SoftPositionEmbed(nn.Module):
    """Adds a learned map of the grid to (B, channels, size, size)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        line = torch.linspace(0, 1, size)
        rows, columns = line[:, None].expand(size, size), line[None].expand(size, size)
        self.register_buffer("grid", torch.stack([rows, columns, 1 - rows, 1 - columns], -1))
        self.dense = nn.Linear(4, SIZE)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + self.dense(self.grid).permute(2, 0, 1)


class SlotAttention(nn.Module):
    """The module: (B, N, 64) to (B, slots, 64)."""

    def __init__(self, num_slots: int, iterations: int = 3) -> None:
        super().__init__()
        self.num_slots, self.iterations = num_slots, iterations
        self.norm_inputs, self.norm_slots, self.norm_mlp = (
            nn.LayerNorm(SIZE, eps=1e-3) for _ in range(3)
        )
        self.mu, self.log_sigma = (nn.Parameter(0.1 * torch.randn(1, 1, SIZE)) for _ in range(2))
        self.q, self.k, self.v = (nn.Linear(SIZE, SIZE, bias=False) for _ in range(3))
        self.gru = nn.GRUCell(SIZE, SIZE)
        self.mlp = nn.Sequential(nn.Linear(SIZE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, SIZE))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inputs = self.norm_inputs(inputs)
        k, v = self.k(inputs), self.v(inputs)
        noise = torch.randn(len(inputs), self.num_slots, SIZE, device=inputs.device)
        slots = self.mu + self.log_sigma.exp() * noise
        for _ in range(self.iterations):
            q = self.q(self.norm_slots(slots)) * SIZE**-0.5
            attention = torch.softmax(k @ q.transpose(1, 2), -1) + 1e-8
            attention = attention / attention.sum(1, keepdim=True)
            updates = attention.transpose(1, 2) @ v
            new = self.gru(updates.reshape(-1, SIZE), slots.reshape(-1, SIZE))
            slots = new.reshape(slots.shape)
            slots = slots + self.mlp(self.norm_mlp(slots))
        return slots


class Encoder(nn.Module):
    """Images to a set of features."""

    def __init__(self, strides: Tuple[int, ...]) -> None:
        super().__init__()
        channels = (3, SIZE, SIZE, SIZE)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(given, SIZE, 5, stride) for given, stride in zip(channels, strides)
        )
        self.positions = SoftPositionEmbed(RESOLUTION // int(np.prod(strides)))
        self.norm = nn.LayerNorm(SIZE, eps=1e-3)
        self.mlp = nn.Sequential(nn.Linear(SIZE, SIZE), nn.ReLU(), nn.Linear(SIZE, SIZE))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions:
            before = 2 if convolution.stride[0] == 1 else 1
            images = torch.relu(convolution(functional.pad(images, (before, 2) * 2)))
        return self.mlp(self.norm(self.positions(images).flatten(2).transpose(1, 2)))


class AutoEncoder(nn.Module):
    """Object discovery: images to their reconstruction."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(STRIDES[OBJECT_DISCOVERY])
        self.slots = SlotAttention(NUM_SLOTS[OBJECT_DISCOVERY])
        self.positions = SoftPositionEmbed(8)
        up = [nn.ConvTranspose2d(SIZE, SIZE, 5, 2, 2, 1) for _ in range(4)]
        self.up = nn.ModuleList([*up, nn.ConvTranspose2d(SIZE, SIZE, 5, 1, 2)])
        self.last = nn.ConvTranspose2d(SIZE, 4, 3, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        slots = self.slots(self.encoder(images))
        found = self.positions(slots.reshape(-1, SIZE, 1, 1).expand(-1, -1, 8, 8))
        for layer in self.up:
            found = torch.relu(layer(found))
        found = self.last(found).reshape(len(images), -1, 4, RESOLUTION, RESOLUTION)
        return (found[:, :, :3] * torch.softmax(found[:, :, 3:], 1)).sum(1)


class Classifier(nn.Module):
    """Set prediction: images to properties (B, 10, 19)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(STRIDES[SET_PREDICTION])
        self.slots = SlotAttention(NUM_SLOTS[SET_PREDICTION])
        self.mlp = nn.Sequential(nn.Linear(SIZE, 64), nn.ReLU(), nn.Linear(64, 19), nn.Sigmoid())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.slots(self.encoder(images)))


def hungarian_loss(targets: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
    """Sum of the best matching's Huber costs, mean over the batch."""
    shape = (-1, -1, predictions.shape[1], -1)
    given = targets.unsqueeze(2).expand(*shape), predictions.unsqueeze(1)
    error = (given[0] - given[1]).abs()
    cost = torch.where(error < 1, 0.5 * error**2, error - 0.5).mean(-1)
    total = cost.new_zeros(())
    for one in cost:
        rows, columns = linear_sum_assignment(one.detach().cpu().numpy())
        total = total + one[rows, columns].sum()
    return total / len(cost)


def open_trainer(task: str, arrays: Any, device: Any) -> Any:
    """A step on one batch, which takes the batch as arrays to the device."""
    torch.manual_seed(0)
    network = (AutoEncoder() if task == OBJECT_DISCOVERY else Classifier()).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-4)

    def step(_: Any) -> torch.Tensor:
        images = torch.from_numpy(arrays["image"]).permute(0, 3, 1, 2).contiguous().to(device)
        optimizer.zero_grad()
        found = network(images)
        if task == OBJECT_DISCOVERY:
            loss = functional.mse_loss(found, images)
        else:
            loss = hungarian_loss(torch.from_numpy(arrays["target"]).to(device), found)
        loss.backward()
        optimizer.step()
        return loss

    return step
