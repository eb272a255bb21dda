"""The first convolution of a short training begins as whitening."""

from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest
import torch
from scipy import ndimage

from residual_attention_net.network.model import build_network
from residual_attention_net.network.whitening import whiten_stem

pytestmark = pytest.mark.pytorch


@pytest.mark.parametrize("channels, spatial", [(3, (16, 16)), (1, (16, 16)), (2, (16, 16, 16))])
def test_what_leaves_the_stem_is_uncorrelated(channels: int, spatial: Tuple[int, ...]) -> None:
    noise = np.random.RandomState(0).rand(400, *spatial, channels)
    smooth = ndimage.gaussian_filter(noise, [0] + [1.0] * len(spatial) + [0.5])
    low, high = smooth.min(), smooth.max()
    images = np.uint8(255 * (smooth - low) / (high - low))
    network = build_network("small_16input", 10, len(spatial), channels)
    before = network.conv1[0].weight.detach().clone()

    whiten_stem(network, images)

    filters = network.conv1[0].weight.detach()
    assert filters.shape == before.shape
    assert torch.equal(filters[:4], -filters[4:])
    inputs = torch.from_numpy(np.moveaxis(images, -1, 1).copy()).float() / 255
    convolution = {2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}[len(spatial)]
    outputs = convolution(inputs, filters[:4]).transpose(0, 1).reshape(4, -1).double()
    found = np.cov(outputs.numpy())
    variances = np.diag(found)
    assert np.all((variances > 0.5) & (variances < 1.2))
    assert np.abs(found - np.diag(variances)).max() < 0.1


def test_filters_beyond_the_patches_directions_stay_as_they_were() -> None:
    network = build_network("92_32input_update", input_channels=1)  # 32 filters, 9 directions
    before = network.conv1[0].weight.detach().clone()
    whiten_stem(network, np.random.RandomState(0).randint(0, 256, (8, 32, 32, 1), np.uint8))
    changed = (network.conv1[0].weight != before).flatten(1).any(dim=1)
    assert changed.tolist() == 18 * [True] + 14 * [False]
