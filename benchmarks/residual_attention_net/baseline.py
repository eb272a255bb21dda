"""The plain baseline: 92_32input_update as its reference trains it, in fp32 and NCHW.

A restatement of the reference's mathematics and order of operations (github.com/tengshaofeng/
ResidualAttentionNetwork-pytorch): one module per layer, per-image transforms in DataLoader workers,
torch.optim.SGD, no tricks. Every ratio of the benchmark is against this file.
"""

from __future__ import annotations

from typing import Optional, Tuple

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


class AttentionStage1(nn.Module):
    """Attention module with a two-step mask and one skip connection (32x32 -> 16x16 -> 8x8)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.first_residual_blocks = ResidualBlock(channels, channels)
        self.trunk_branches = two_blocks(channels)
        self.mpool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.down_residual_blocks1 = ResidualBlock(channels, channels)
        self.skip1_connection_residual_block = ResidualBlock(channels, channels)
        self.mpool2 = nn.MaxPool2d(3, stride=2, padding=1)
        self.middle_2r_blocks = two_blocks(channels)
        self.interpolation1 = nn.UpsamplingBilinear2d(size=(size // 2, size // 2))
        self.up_residual_blocks1 = ResidualBlock(channels, channels)
        self.interpolation2 = nn.UpsamplingBilinear2d(size=(size, size))
        self.conv1_1_blocks = mask_head(channels)
        self.last_blocks = ResidualBlock(channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.first_residual_blocks(inputs)
        trunk = self.trunk_branches(features)
        down = self.down_residual_blocks1(self.mpool1(features))
        skip = self.skip1_connection_residual_block(down)
        middle = self.middle_2r_blocks(self.mpool2(down))
        # The reference adds `down` both here and through the skip block.
        up = self.interpolation1(middle) + down
        up = self.up_residual_blocks1(up + skip)
        mask = self.conv1_1_blocks(self.interpolation2(up) + trunk)
        return self.last_blocks((1 + mask) * trunk)


class AttentionStage2(nn.Module):
    """Attention module with a one-step mask (16x16 -> 8x8)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.first_residual_blocks = ResidualBlock(channels, channels)
        self.trunk_branches = two_blocks(channels)
        self.mpool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.middle_2r_blocks = two_blocks(channels)
        self.interpolation1 = nn.UpsamplingBilinear2d(size=(size, size))
        self.conv1_1_blocks = mask_head(channels)
        self.last_blocks = ResidualBlock(channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.first_residual_blocks(inputs)
        trunk = self.trunk_branches(features)
        middle = self.middle_2r_blocks(self.mpool1(features))
        mask = self.conv1_1_blocks(self.interpolation1(middle) + trunk)
        return self.last_blocks((1 + mask) * trunk)


class AttentionStage3(nn.Module):
    """Attention module whose mask stays at the input's size (8x8)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first_residual_blocks = ResidualBlock(channels, channels)
        self.trunk_branches = two_blocks(channels)
        self.middle_2r_blocks = two_blocks(channels)
        self.conv1_1_blocks = mask_head(channels)
        self.last_blocks = ResidualBlock(channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.first_residual_blocks(inputs)
        trunk = self.trunk_branches(features)
        mask = self.conv1_1_blocks(self.middle_2r_blocks(features))
        return self.last_blocks((1 + mask) * trunk)


class BaselineNetwork(nn.Module):
    """92_32input_update: images (B, 3, 32, 32) in [0, 1] -> logits (B, classes)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        )
        self.residual_block1 = ResidualBlock(32, 128)
        self.attention_module1 = AttentionStage1(128, 32)
        self.residual_block2 = ResidualBlock(128, 256, stride=2)
        self.attention_module2 = AttentionStage2(256, 16)
        self.attention_module2_2 = AttentionStage2(256, 16)
        self.residual_block3 = ResidualBlock(256, 512, stride=2)
        self.attention_module3 = AttentionStage3(512)
        self.attention_module3_2 = AttentionStage3(512)
        self.attention_module3_3 = AttentionStage3(512)
        self.residual_block4 = ResidualBlock(512, 1024)
        self.residual_block5 = ResidualBlock(1024, 1024)
        self.residual_block6 = ResidualBlock(1024, 1024)
        self.mpool2 = nn.Sequential(
            nn.BatchNorm2d(1024), nn.ReLU(inplace=True), nn.AvgPool2d(kernel_size=8)
        )
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.residual_block1(self.conv1(images))
        features = self.residual_block2(self.attention_module1(features))
        features = self.attention_module2_2(self.attention_module2(features))
        features = self.attention_module3(self.residual_block3(features))
        features = self.attention_module3_3(self.attention_module3_2(features))
        features = self.residual_block5(self.residual_block4(features))
        features = self.mpool2(self.residual_block6(features))
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


def random_horizontal_flip(image: np.ndarray) -> np.ndarray:
    """Mirror an (H, W, C) image with probability one half."""
    return image[:, ::-1] if torch.rand(1).item() < 0.5 else image


def random_crop(image: np.ndarray, padding: int = CROP_PADDING) -> np.ndarray:
    """Pad an (H, W, C) image with zeros, then cut its own size out at a random place."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode="constant")
    top = int(torch.randint(0, 2 * padding + 1, (1,)).item())
    left = int(torch.randint(0, 2 * padding + 1, (1,)).item())
    return padded[top : top + height, left : left + width]


def to_tensor(image: np.ndarray) -> Tensor:
    """(H, W, C) uint8 -> (C, H, W) float32 in [0, 1], as torchvision's ToTensor does it."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float().div(255)


class TransformedImages(Dataset):
    """uint8 images (N, 32, 32, 3) and labels (N,), each image transformed when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tuple[Tensor, int]:
        image = random_crop(random_horizontal_flip(self.images[index]))
        return to_tensor(image), int(self.labels[index])


def build_loader(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    workers: int,
    generator: Optional[torch.Generator] = None,
) -> DataLoader:
    """Shuffled batches ((B, 3, 32, 32) float32, (B,) int64) from worker processes."""
    dataset = TransformedImages(images, labels)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        generator=generator,
        persistent_workers=workers > 0,
    )
