"""The two parts a Residual Attention Network is made of, for images (2-D) or volumes (3-D).

Source: Wang et al., CVPR 2017 (arXiv 1704.06904), sections 3.1 and 3.2. Submodules carry the names
of the reference implementation, so that its checkpoints load.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple, Type

import torch
import torch.nn.functional as functional
from torch import nn

from residual_attention_net.network.batch_norm import BatchNorm2d, BatchNorm3d
from residual_attention_net.network.networks import BASIC, BOTTLENECK, POOLED, MaskNames


class Layers(NamedTuple):
    """The layer types of one number of spatial dimensions."""

    convolution: Type[nn.Module]
    batch_norm: Type[nn.Module]
    max_pool: Type[nn.Module]
    average_pool: Type[nn.Module]
    interpolation: str


LAYERS = {
    2: Layers(nn.Conv2d, BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, "bilinear"),
    3: Layers(nn.Conv3d, BatchNorm3d, nn.MaxPool3d, nn.AvgPool3d, "trilinear"),
}


def halving_pool(layers: Layers, window: int = 3) -> nn.Module:
    """The max-pool that halves each side, rounding up where its window is odd."""
    return layers.max_pool(kernel_size=window, stride=2, padding=(window - 1) // 2)


class _PreActivation(nn.Module):
    """A residual unit whose branch begins with batch norm and ReLU.

    (B, input_channels, *size) to (B, output_channels, *size / stride). Where the shape changes, a
    1x1 convolution of the first activation takes the place of the identity; the reference owns
    that `conv4` in every block, here it exists where it is used.
    """

    def _add_shortcut(
        self, layers: Layers, input_channels: int, output_channels: int, stride: int
    ) -> None:
        self.conv4 = None
        if stride != 1 or input_channels != output_channels:
            self.conv4 = layers.convolution(input_channels, output_channels, 1, stride, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the unit's output; x is left as it is."""
        activated = self.relu(self.bn1(x))
        residual = self.branch(activated)
        # In place: no gradient needs the last convolution's output.
        residual += self.shortcut(x, activated)
        return residual

    def shortcut(self, x: torch.Tensor, activated: torch.Tensor) -> torch.Tensor:
        """x itself, or what takes its place where the shape changes."""
        return x if self.conv4 is None else self.conv4(activated)


class ResidualBlock(_PreActivation):
    """Bottleneck: 1x1 to a quarter, 3x3, 1x1."""

    def __init__(
        self, layers: Layers, input_channels: int, output_channels: int, stride: int = 1
    ) -> None:
        super().__init__()
        inner = output_channels // 4
        self.bn1 = layers.batch_norm(input_channels)
        self.conv1 = layers.convolution(input_channels, inner, 1, bias=False)
        self.bn2 = layers.batch_norm(inner)
        self.conv2 = layers.convolution(inner, inner, 3, stride, padding=1, bias=False)
        self.bn3 = layers.batch_norm(inner)
        self.conv3 = layers.convolution(inner, output_channels, 1, bias=False)
        self._add_shortcut(layers, input_channels, output_channels, stride)

    def branch(self, activated: torch.Tensor) -> torch.Tensor:
        """The three convolutions."""
        residual = self.conv2(self.relu(self.bn2(self.conv1(activated))))
        return self.conv3(self.relu(self.bn3(residual)))


class BasicBlock(_PreActivation):
    """Two 3x3 convolutions (He et al., arXiv 1603.05027).

    Processors come nearer to their peak in it than in a bottleneck: a 3x3 convolution computes
    nine times as much for each value it moves as a 1x1.
    """

    def __init__(
        self, layers: Layers, input_channels: int, output_channels: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.bn1 = layers.batch_norm(input_channels)
        self.conv1 = layers.convolution(
            input_channels, output_channels, 3, stride, padding=1, bias=False
        )
        self.bn2 = layers.batch_norm(output_channels)
        self.conv2 = layers.convolution(output_channels, output_channels, 3, padding=1, bias=False)
        self._add_shortcut(layers, input_channels, output_channels, stride)

    def branch(self, activated: torch.Tensor) -> torch.Tensor:
        """The two convolutions."""
        return self.conv2(self.relu(self.bn2(self.conv1(activated))))


class PooledBlock(BasicBlock):
    """A basic unit that max-pools halve: one after its first convolution, one in its shortcut.

    So its convolutions see every position. With a stride they leave out three of four, which costs
    less arithmetic and more accuracy.
    """

    def __init__(
        self, layers: Layers, input_channels: int, output_channels: int, stride: int = 1
    ) -> None:
        super().__init__(layers, input_channels, output_channels)
        self.pool = halving_pool(layers, window=2) if stride == 2 else nn.Identity()

    def branch(self, activated: torch.Tensor) -> torch.Tensor:
        """The two convolutions, the pool between them."""
        return self.conv2(self.relu(self.bn2(self.pool(self.conv1(activated)))))

    def shortcut(self, x: torch.Tensor, activated: torch.Tensor) -> torch.Tensor:
        """The same of what the pool leaves."""
        return self.pool(x) if self.conv4 is None else self.conv4(self.pool(activated))


BLOCKS: Dict[str, Type[nn.Module]] = {
    BOTTLENECK: ResidualBlock,
    BASIC: BasicBlock,
    POOLED: PooledBlock,
}


def mask_gate(layers: Layers, channels: int) -> nn.Sequential:
    """Two 1x1 convolutions, each after batch norm and ReLU, then the sigmoid: the mask."""
    parts = []
    for _ in range(2):
        parts += [layers.batch_norm(channels), nn.ReLU(inplace=True)]
        parts += [layers.convolution(channels, channels, 1, bias=False)]
    return nn.Sequential(*parts, nn.Sigmoid())


def _attended(mask: torch.Tensor, trunk: torch.Tensor) -> torch.Tensor:
    """(1 + mask) * trunk in one pass, without keeping 1 + mask for the gradient."""
    if torch.jit.is_tracing():
        return trunk + mask * trunk  # the exporter of torch 1.8 knows no addcmul
    return torch.addcmul(trunk, mask, trunk)


class AttentionModule(nn.Module):
    """One attention module: (1 + mask) * trunk between two residual blocks (paper, equation 3).

    (B, channels, *size) to the same shape. `sizes` are the pixels a side of the mask branch: its
    input, then after each max-pool; a single size is a mask branch that never pools. The mask has
    a value per channel and position. `block` and `trunk_blocks` are as in NetworkSpec.
    """

    def __init__(
        self,
        layers: Layers,
        channels: int,
        sizes: Tuple[int, ...],
        names: MaskNames,
        block: str = BOTTLENECK,
        trunk_blocks: int = 2,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.names = names
        self.interpolation = layers.interpolation
        self.pool = halving_pool(layers)

        def unit() -> nn.Module:
            return BLOCKS[block](layers, channels, channels)

        # Under the reference's names, in the reference's order.
        self.first_residual_blocks = unit()
        self.trunk_branches = nn.Sequential(*[unit() for _ in range(trunk_blocks)])
        for down, skip in zip(names.down, names.skip):
            self.add_module(down, unit())
            self.add_module(skip, unit())
        self.add_module(names.middle, nn.Sequential(unit(), unit()))
        for up in reversed(names.up):
            self.add_module(up, unit())
        self.add_module(names.gate, mask_gate(layers, channels))
        self.last_blocks = unit()

    @property
    def gate(self) -> nn.Module:
        """The last part of the mask branch: its output is the mask."""
        return getattr(self, self.names.gate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh the trunk by the mask; 1 + mask keeps what the trunk found where the mask is 0."""
        x = self.first_residual_blocks(x)
        trunk = self.trunk_branches(x)
        mask = self.gate(self._mask_features(x, trunk))
        return self.last_blocks(_attended(mask, trunk))

    def _mask_features(self, x: torch.Tensor, trunk: torch.Tensor) -> torch.Tensor:
        """What the gate sees: bottom-up top-down features, added to the trunk's if they pooled."""
        middle = getattr(self, self.names.middle)
        if len(self.sizes) == 1:
            return middle(x)
        skips = []
        for down, skip in zip(self.names.down, self.names.skip):
            x = getattr(self, down)(self.pool(x))
            skips.append((x, getattr(self, skip)(x)))
        x = middle(self.pool(x))
        for level in reversed(range(len(skips))):
            before, skip = skips[level]
            x = self._enlarged(x, self.sizes[level + 1]) + before + skip
            x = getattr(self, self.names.up[level])(x)
        return self._enlarged(x, self.sizes[0]) + trunk

    def _enlarged(self, x: torch.Tensor, size: int) -> torch.Tensor:
        """Interpolate linearly to `size` pixels a side, corners on corners as in the reference."""
        return functional.interpolate(
            x, size=(size,) * (x.dim() - 2), mode=self.interpolation, align_corners=True
        )
