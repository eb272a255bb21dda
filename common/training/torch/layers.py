"""Layers that compute what Keras's do, on arrays laid out as there: channels last.

In memory too: a convolution sees torch's channels_last format, and nothing is copied in between.
Their weights are torch's own; common.training.exchange tells what they are in Keras.
"""

from __future__ import annotations

import functools
from typing import Any, Optional, Tuple

import torch
from torch import nn
from torch.nn import functional

RELU, SIGMOID = "relu", "sigmoid"


def _activated(values: torch.Tensor, activation: Optional[str]) -> torch.Tensor:
    return values if activation is None else getattr(torch, activation)(values)


def same_padding(size: int, kernel: int, stride: int) -> Tuple[int, int]:
    """What TensorFlow's SAME adds before and after a side of so many pixels."""
    whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return whole // 2, whole - whole // 2


class Dense(nn.Linear):
    """Over the last axis; activation is RELU, SIGMOID or None."""

    def __init__(
        self, inputs: int, units: int, activation: Optional[str] = None, bias: bool = True
    ) -> None:
        super().__init__(inputs, units, bias)
        self.activation = activation

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return _activated(super().forward(values), self.activation)


class LayerNorm(nn.LayerNorm):
    """Over the last axis, with Keras's epsilon unless another is given."""

    def __init__(self, size: int, epsilon: float = 1e-3) -> None:
        super().__init__(size, epsilon)


class Conv2D(nn.Conv2d):
    """A convolution with SAME padding, (B, height, width, channels) to the like."""

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        stride: int = 1,
        activation: Optional[str] = None,
        bias: bool = True,
    ) -> None:
        super().__init__(channels, filters, kernel, stride, bias=bias)
        self.activation = activation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        sides = [
            same_padding(int(size), kernel, stride)  # a trace of torch 1.8 has tensors here
            for size, kernel, stride in zip(images.shape[1:3], self.kernel_size, self.stride)
        ]
        values, padding = images.permute(0, 3, 1, 2), [before for before, _ in sides]
        if any(before != after for before, after in sides):
            values = functional.pad(values, (*sides[1], *sides[0]))
            padding = [0, 0]
        found = functional.conv2d(values, self.weight, self.bias, self.stride, padding)
        return _activated(found, self.activation).permute(0, 2, 3, 1)


class Conv2DTranspose(nn.ConvTranspose2d):
    """A convolution's transpose with SAME padding: sides become `stride` times as long."""

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        stride: int = 1,
        activation: Optional[str] = None,
    ) -> None:
        super().__init__(channels, filters, kernel, stride)
        self.activation = activation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = (int(size) * self.stride[0] for size in images.shape[1:3])
        before, _ = same_padding(height, self.kernel_size[0], self.stride[0])
        if self.training and images.device.type == "cpu":
            taps = _taps(self.kernel_size[0], self.stride[0], before)
            if taps is not None:
                return self._by_convolution(images, taps)
        found = functional.conv_transpose2d(
            images.permute(0, 3, 1, 2), self.weight, self.bias, self.stride, before
        )
        # One line more than wanted where SAME adds more after than before.
        return _activated(found[:, :, :height, :width], self.activation).permute(0, 2, 3, 1)

    def _by_convolution(self, images: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
        """The same by one convolution, each of whose outputs is a square of stride x stride pixels.

        oneDNN's own transpose takes several times as long on a processor.
        """
        count, height, width, _ = images.shape
        stride, size = taps.shape
        padded = functional.pad(self.weight, (0, 1, 0, 1))  # where no tap is there is a 0
        kernels = padded[:, :, taps[:, None, :, None], taps[None, :, None, :]]
        kernels = kernels.permute(2, 3, 1, 0, 4, 5).reshape(-1, self.in_channels, size, size)
        biases = self.bias.repeat(stride * stride)
        found = functional.conv2d(images.permute(0, 3, 1, 2), kernels, biases, padding=size // 2)
        squares = _activated(found, self.activation).permute(0, 2, 3, 1)
        squares = squares.reshape(count, height, width, stride, stride, self.out_channels)
        return squares.permute(0, 1, 3, 2, 4, 5).reshape(
            count, height * stride, width * stride, self.out_channels
        )


@functools.lru_cache(maxsize=None)
def _taps(kernel: int, stride: int, before: int) -> Optional[torch.Tensor]:
    """Which row of a transposed kernel meets which neighbour, int64, (stride, neighbours).

    Output stride * q + r sees input q + d by row r + before - stride * d; `kernel` where there is
    none. None where there are not as many neighbours on either side.
    """
    reach = (stride - 1 + before) // stride
    if (kernel - 1 - before) // stride != reach:
        return None
    rows = [[r + before - stride * d for d in range(-reach, reach + 1)] for r in range(stride)]
    return torch.tensor([[t if 0 <= t < kernel else kernel for t in row] for row in rows])


class GRUCell(nn.GRUCell):
    """One step, (B, inputs) and (B, size) to (B, size) in a tuple, as Keras gives it."""

    def forward(self, inputs: torch.Tensor, state: Any = None) -> Any:
        return (super().forward(inputs, state),)
