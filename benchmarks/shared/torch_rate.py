"""How fast the machine convolves, by torch: what the figures of every network are scaled by."""

from __future__ import annotations

import time
from typing import Any, Callable

import torch

from common.training.torch import runtime as torch_runtime

RATE_CHANNELS, RATE_SIZE, RATE_BATCH = 256, 8, 32
GPU_RATE_BATCH = 1024


def convolution_rate(device: torch_runtime.TorchDevice, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a 3x3 convolution, 256 channels at 8x8, forward."""
    batch = RATE_BATCH if device.kind == "cpu" else GPU_RATE_BATCH
    layout = (
        torch.contiguous_format
        if device.kind == "cpu" and dtype == torch.float32
        else torch.channels_last
    )
    images = torch.randn(batch, RATE_CHANNELS, RATE_SIZE, RATE_SIZE, device=device.device)
    weights = torch.randn(RATE_CHANNELS, RATE_CHANNELS, 3, 3, device=device.device)
    images, weights = (
        tensor.to(dtype).contiguous(memory_format=layout) for tensor in (images, weights)
    )
    seconds = median_seconds(device, lambda: torch.nn.functional.conv2d(images, weights, padding=1))
    return float(2.0 * images.numel() * weights[0].numel() / seconds)


def median_seconds(
    device: torch_runtime.TorchDevice, operation: Callable[[], Any], repeats: int = 15
) -> float:
    """The median time of an operation, after one that is not counted."""
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            torch_runtime.synchronize(device)
            began = time.perf_counter()
            operation()
            torch_runtime.synchronize(device)
            times.append(time.perf_counter() - began)
    return sorted(times[1:])[repeats // 2]
