"""The plain baseline: 92_32input_update as its reference trains it, in fp32 and NCHW.

A restatement of the reference's mathematics and order of operations (github.com/tengshaofeng/
ResidualAttentionNetwork-pytorch): one module per layer, per-image transforms in DataLoader workers,
torch.optim.SGD, no tricks. Every ratio of the benchmark is against this file.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

IMAGE_SIZE = 32
CROP_PADDING = 4


class ResidualBlock(nn.Module):
    """Pre-activation bottleneck: (B, in, H, W) -> (B, out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        width = out_channels // 4
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.has_projection = in_channels != out_channels or stride != 1
        if self.has_projection:
            self.conv4 = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        shortcut = inputs
        activated = self.relu(self.bn1(inputs))
        hidden = self.conv1(activated)
        hidden = self.conv2(self.relu(self.bn2(hidden)))
        hidden = self.conv3(self.relu(self.bn3(hidden)))
        if self.has_projection:
            shortcut = self.conv4(activated)
        hidden += shortcut
        return hidden


def two_blocks(channels: int) -> nn.Sequential:
    """Two identity-shortcut blocks in a row."""
    return nn.Sequential(ResidualBlock(channels, channels), ResidualBlock(channels, channels))


def mask_head(channels: int) -> nn.Sequential:
    """The mask branch's end: two 1x1 convolutions and a sigmoid."""
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.Sigmoid(),
    )


class AttentionModule(nn.Module):
    """An attention module of `size` pixels a side whose mask is pooled `steps` times (0 to 2)."""

    def __init__(self, channels: int, size: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.first_residual_blocks = ResidualBlock(channels, channels)
        self.trunk_branches = two_blocks(channels)
        self.mpool = nn.MaxPool2d(3, stride=2, padding=1)
        if steps == 2:
            self.down_residual_blocks1 = ResidualBlock(channels, channels)
            self.skip1_connection_residual_block = ResidualBlock(channels, channels)
        self.middle_2r_blocks = two_blocks(channels)
        if steps == 2:
            self.interpolation1 = nn.UpsamplingBilinear2d(size=(size // 2, size // 2))
            self.up_residual_blocks1 = ResidualBlock(channels, channels)
        self.interpolation2 = nn.UpsamplingBilinear2d(size=(size, size))
        self.conv1_1_blocks = mask_head(channels)
        self.last_blocks = ResidualBlock(channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.first_residual_blocks(inputs)
        trunk = self.trunk_branches(features)
        if self.steps == 0:
            mask = self.middle_2r_blocks(features)
        elif self.steps == 1:
            mask = self.interpolation2(self.middle_2r_blocks(self.mpool(features))) + trunk
        else:
            down = self.down_residual_blocks1(self.mpool(features))
            skip = self.skip1_connection_residual_block(down)
            middle = self.middle_2r_blocks(self.mpool(down))
            # The reference adds `down` both here and through the skip block.
            up = self.interpolation1(middle) + down
            mask = self.interpolation2(self.up_residual_blocks1(up + skip)) + trunk
        return self.last_blocks((1 + self.conv1_1_blocks(mask)) * trunk)


class BaselineNetwork(nn.Module):
    """92_32input_update: images (B, 3, 32, 32) in [0, 1] -> logits (B, classes)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        )
        self.residual_block1 = ResidualBlock(32, 128)
        self.attention_module1 = AttentionModule(128, 32, 2)
        self.residual_block2 = ResidualBlock(128, 256, stride=2)
        self.attention_module2 = AttentionModule(256, 16, 1)
        self.attention_module2_2 = AttentionModule(256, 16, 1)
        self.residual_block3 = ResidualBlock(256, 512, stride=2)
        self.attention_module3 = AttentionModule(512, 8, 0)
        self.attention_module3_2 = AttentionModule(512, 8, 0)
        self.attention_module3_3 = AttentionModule(512, 8, 0)
        self.residual_block4 = ResidualBlock(512, 1024)
        self.residual_block5 = ResidualBlock(1024, 1024)
        self.residual_block6 = ResidualBlock(1024, 1024)
        self.mpool2 = nn.Sequential(
            nn.BatchNorm2d(1024), nn.ReLU(inplace=True), nn.AvgPool2d(kernel_size=8)
        )
        self.body = [name for name, _ in self.named_children()]
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for name in self.body:
            features = getattr(self, name)(features)
        return self.fc(features.view(features.size(0), -1))


def build_optimizer(network: nn.Module, learning_rate: float = 0.1) -> torch.optim.SGD:
    """The reference's optimizer: SGD, Nesterov momentum 0.9, weight decay 1e-4 on everything."""
    return torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=1e-4
    )


def training_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """Forward, backward, optimizer step; returns the loss."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    optimizer.step()
    return loss


class TransformedImages(Dataset):
    """uint8 images (N, 32, 32, 3) and labels (N,), each transformed when it is asked for.

    As torchvision does it: flip, a crop of the zero-padded image, floats in [0, 1].
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tuple[Tensor, int]:
        image = self.images[index]
        image = image[:, ::-1] if torch.rand(1).item() < 0.5 else image
        padded = np.pad(image, [(CROP_PADDING, CROP_PADDING)] * 2 + [(0, 0)], mode="constant")
        top, left = torch.randint(0, 2 * CROP_PADDING + 1, (2,)).tolist()
        window = padded[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
        pixels = torch.from_numpy(np.ascontiguousarray(window.transpose(2, 0, 1)))
        return pixels.float().div(255), int(self.labels[index])


def build_loader(
    images: np.ndarray, labels: np.ndarray, batch_size: int, workers: int
) -> DataLoader:
    """Shuffled batches ((B, 3, 32, 32) float32, (B,) int64) from worker processes."""
    return DataLoader(
        TransformedImages(images, labels),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )
