"""Batch normalisation that is fast in training on a CPU before torch 1.12.

There torch walks through the channels one by one, which takes a third of a training step. Here the
same mathematics runs over whole tensors (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1).
"""

from __future__ import annotations

from typing import Any, Tuple

import torch
import torch.nn.functional as functional
from torch import nn

from common.core.text import version_numbers

TORCH_WALKS_CHANNELS = version_numbers(torch.__version__) < (1, 12)


class _Normalise(torch.autograd.Function):
    """(B, C, *spatial), contiguous, to the same shape, and the batch's mean and biased variance."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        flat = x.flatten(2)
        count = x.numel() // x.shape[1]
        mean = _channel_sums(flat) / count
        centred = flat - mean[:, None]
        variance = _channel_sums(centred.mul_(centred)) / count
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance)
        # With given statistics torch does it in one vectorised pass.
        output = functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon)
        return output, mean, variance

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor, *_: Any) -> Tuple[Any, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        scale = (variance + ctx.epsilon).rsqrt()
        count = x.numel() // x.shape[1]
        gradient = upstream.contiguous().flatten(2)
        centred = x.flatten(2) - mean[:, None]
        bias_gradient = _channel_sums(gradient)
        weight_gradient = _channel_sums(centred * gradient) * scale
        slope = weight * scale
        result = centred.mul_((-slope * scale * weight_gradient / count)[:, None])
        result.sub_((slope * bias_gradient / count)[:, None]).add_(gradient * slope[:, None])
        return result.view_as(x), weight_gradient, bias_gradient, None


def _channel_sums(flat: torch.Tensor) -> torch.Tensor:
    """(B, C, positions) to (C,): positions first, because that sum is vectorised."""
    return flat.sum(2).sum(0)


class _FastOnOldCpus(nn.modules.batchnorm._BatchNorm):
    """Torch's layer, with the training pass replaced where torch's own is slow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = x.numel() // x.shape[1]
        # A single value per channel has no variance: torch's layer says so.
        walks = TORCH_WALKS_CHANNELS and self.training and x.device.type == "cpu" and count > 1
        if not walks:
            return super().forward(x)
        self._check_input_dim(x)
        output, mean, variance = _Normalise.apply(x.contiguous(), self.weight, self.bias, self.eps)
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1.0)), self.momentum)
        return output


class BatchNorm2d(_FastOnOldCpus, nn.BatchNorm2d):
    """nn.BatchNorm2d with momentum, affine, tracking statistics: torch's defaults."""


class BatchNorm3d(_FastOnOldCpus, nn.BatchNorm3d):
    """nn.BatchNorm3d with momentum, affine, tracking statistics: torch's defaults."""
