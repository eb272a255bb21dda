"""What the machine could do at best by torch: rates of convolutions, memory bandwidth."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Tuple

import torch

from benchmarks.shared.needs import COPY_ELEMENTS
from common.machine.precision import resolve
from common.training.torch import runtime as torch_runtime

RATE_CHANNELS, RATE_SIZE, RATE_BATCH = 256, 8, 32
GPU_RATE_BATCH = 1024
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def torch_machine(kind: str) -> Tuple[Dict[str, Any], Callable[[], Dict[str, float]]]:
    """What stays the same of the machine, and a function that measures its rates."""
    device = _opened(kind)
    # On a CPU torch computes in bfloat16 at speed since it has a compiler.
    fast = kind != "cpu" or hasattr(torch, "compile")
    found = {
        "torch": str(torch.__version__),
        "device": device.name,
        "threads": torch.get_num_threads(),
        "bandwidth": _copy_bandwidth(device),
    }
    rated = [name for name in DTYPES if fast or name == "fp32"]
    return found, lambda: {name: convolution_rate(device, DTYPES[name]) for name in rated}


def fp32_rate(kind: str) -> Callable[[], float]:
    """A function that measures the rate of float32 convolutions alone."""
    device = _opened(kind)
    return lambda: convolution_rate(device, torch.float32)


def _opened(kind: str) -> torch_runtime.TorchDevice:
    able = torch_runtime.capabilities(kind)
    return torch_runtime.open_device(
        kind, 0, resolve("must_keep_origin_dtype", "torch", kind, able)
    )


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
    seconds = _median_seconds(
        device, lambda: torch.nn.functional.conv2d(images, weights, padding=1)
    )
    return float(2.0 * images.numel() * weights[0].numel() / seconds)


def _copy_bandwidth(device: torch_runtime.TorchDevice) -> float:
    """Bytes a second of copying 128 MiB, read and written bytes both counted."""
    source = torch.ones(COPY_ELEMENTS, device=device.device)
    target = torch.empty_like(source)
    return 2.0 * 4 * COPY_ELEMENTS / _median_seconds(device, lambda: target.copy_(source))


def _median_seconds(
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
