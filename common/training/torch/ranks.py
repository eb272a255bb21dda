"""What several ranks of torch do together: add up, average, hand round, normalise as one."""

from __future__ import annotations

from typing import Any, List, Sequence

import numpy
import torch
from torch import distributed, nn

_INT_BYTES = 4
_SIXTEEN_BITS = (torch.float16, torch.bfloat16)


def world_size() -> int:
    """The number of ranks of this job; 1 without a process group."""
    joined = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if joined else 1


def sum_over_ranks(values: Sequence[float], device: torch.device) -> List[float]:
    """Adds numbers up over all ranks, in float32, which every backend can reduce.

    Exact for whole numbers up to 2^24; hccl reduces no float64 (torch_npu 1.8.1).
    """
    if world_size() == 1:
        return [float(value) for value in values]
    total = torch.tensor(list(values), dtype=torch.float32, device=device)
    distributed.all_reduce(total)
    return [float(value) for value in total.cpu()]


def average_batch_norm_statistics(network: nn.Module) -> None:
    """Gives every rank the mean of all ranks' running means and variances, in place.

    Each rank's statistics are moving averages of its own batches; the update is linear, so their
    mean is what one process that saw all the batches side by side would have averaged.
    """
    if world_size() == 1:
        return
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if not buffers:
        return
    flat = torch.cat([buffer.reshape(-1) for buffer in buffers])
    distributed.all_reduce(flat)
    flat /= world_size()
    for buffer, part in zip(buffers, flat.split([buffer.numel() for buffer in buffers])):
        buffer.copy_(part.view_as(buffer))


def bytes_from_first_rank(content: bytes, device: torch.device) -> bytes:
    """The first rank's bytes on every rank; sent as int32, which every backend can broadcast."""
    if world_size() == 1:
        return content
    length = torch.tensor([len(content)], dtype=torch.int32, device=device)
    distributed.broadcast(length, 0)
    size = -(-int(length) // _INT_BYTES) * _INT_BYTES
    if size == 0:
        return b""
    padded = content.ljust(size, b"\0")
    values = torch.from_numpy(numpy.frombuffer(padded, dtype=numpy.int32).copy()).to(device)
    distributed.broadcast(values, 0)
    return bytes(values.cpu().numpy().tobytes()[: int(length)])


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all ranks, for backends without a fused one (CPU, NPU).

    It takes over parameters, buffers and their names from the layer it replaces. The two sums go
    through a differentiable all-reduce, so the gradient is that of one large batch. It is a
    _BatchNorm by class, so that apex leaves its parameters in float32.
    """

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalises (B, C, ...) with the statistics of the global batch.

        Inputs of 16 bits are summed in float32: squares and sums over B and the places would leave
        float16's range.
        """
        if not self.training:
            return super().forward(inputs)
        values = inputs.float() if inputs.dtype in _SIXTEEN_BITS else inputs
        axes, shape = [0, *range(2, inputs.dim())], [1, -1] + [1] * (inputs.dim() - 2)
        count = inputs.numel() // inputs.shape[1] * world_size()
        mean = _SumOverRanks.apply(values.sum(axes)) / count
        deviation = values - mean.view(shape)
        variance = _SumOverRanks.apply((deviation * deviation).sum(axes)) / count
        self._track(mean.detach(), variance.detach() * (count / max(1, count - 1)))
        scale = self.weight / torch.sqrt(variance + self.eps)
        normalised = values * scale.view(shape) + (self.bias - mean * scale).view(shape)
        return normalised.to(inputs.dtype)

    def _check_input_dim(self, inputs: torch.Tensor) -> None:
        """Any number of dimensions."""

    def _track(self, mean: torch.Tensor, unbiased: torch.Tensor) -> None:
        self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
        self.running_var.mul_(1 - self.momentum).add_(unbiased, alpha=self.momentum)
        self.num_batches_tracked.add_(1)


class _SumOverRanks(torch.autograd.Function):
    """All-reduce whose gradient is the all-reduce of the gradients."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        return _summed(values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _summed(gradient)


def _summed(values: torch.Tensor) -> torch.Tensor:
    total = values.clone()
    if world_size() > 1:
        distributed.all_reduce(total)
    return total


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Replaces every batch norm by one over all ranks: torch's own where the backend has it."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, SynchronisedBatchNorm(child))
    return network
