"""A transposed convolution trains by other arithmetic on processors; the numbers are the same."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from common.training.torch.layers import Conv2DTranspose  # noqa: E402

pytestmark = pytest.mark.pytorch


@pytest.mark.parametrize("kernel, stride", [(1, 1), (3, 1), (5, 1), (3, 2), (4, 2), (5, 2), (7, 3)])
def test_a_transposed_convolution_trains_as_it_evaluates(kernel: int, stride: int) -> None:
    layer = Conv2DTranspose(8, 6, kernel, stride, "relu").double()
    images = torch.randn(2, 9, 7, 8, dtype=torch.float64, requires_grad=True)
    told = []
    for training in (True, False):
        found = layer.train(training)(images)
        wanted = (images, layer.weight, layer.bias)
        told.append((found.detach(), *torch.autograd.grad((found**3).sum(), wanted)))
    assert told[0][0].shape == (2, 9 * stride, 7 * stride, 6)
    for trained, evaluated in zip(*told):
        assert (trained - evaluated).abs().max() < 1e-12 * max(1.0, float(evaluated.abs().max()))
