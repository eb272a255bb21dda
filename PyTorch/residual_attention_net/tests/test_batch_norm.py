"""The fast batch norm for old CPUs is torch's batch norm, forward, backward and statistics."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from residual_attention_net.network import batch_norm

pytestmark = pytest.mark.pytorch
SHAPES = pytest.mark.parametrize(
    "kinds, shape",
    [
        ((batch_norm.BatchNorm2d, nn.BatchNorm2d), (4, 3, 5, 6)),
        ((batch_norm.BatchNorm3d, nn.BatchNorm3d), (2, 3, 4, 5, 6)),
    ],
)


def pair(kinds: Any) -> Any:
    """The two layers in float64 with the same weights."""
    torch.manual_seed(0)
    plain = kinds[1](3).double()
    with torch.no_grad():
        plain.weight.uniform_(0.5, 2.0)
        plain.bias.normal_()
    fast = kinds[0](3).double()
    fast.load_state_dict(copy.deepcopy(plain.state_dict()))
    return fast, plain


@SHAPES
def test_training_is_torchs_in_float64(
    kinds: Any, shape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_norm, "TORCH_WALKS_CHANNELS", True)
    inputs, weights = torch.randn(shape).double() * 3 + 1, torch.randn(shape).double()
    found = []
    for layer in pair(kinds):
        given = inputs.clone().requires_grad_()
        for _ in range(2):
            output = layer(given)
        (output * weights).sum().backward()
        learned = [given.grad, layer.weight.grad, layer.bias.grad]
        found.append([output.detach(), *learned, *layer.buffers()])
    for one, other in zip(*found):
        assert torch.allclose(one.double(), other.double(), rtol=1e-10, atol=1e-10)
