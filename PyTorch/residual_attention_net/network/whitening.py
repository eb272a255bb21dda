"""A first convolution that begins as whitening: patches of the images come out uncorrelated.

Sources: Page, "How to train your ResNet 8" (myrtle.ai, 2019), and Jordan, "94% on CIFAR-10 in 3.29
seconds on a single GPU" (arXiv 2404.00498), section 3.2. There the filters stay fixed; here they
are trained on like all others.
"""

from __future__ import annotations

import numpy as np
import torch

from residual_attention_net.network.model import ResidualAttentionNetwork

PIXELS = 5000 * 32 * 32  # of all images looked at: 5,000 of CIFAR-10
SMALLEST_VARIANCE = 5e-4  # is added to each, so that noise isn't blown up


def whiten_stem(network: ResidualAttentionNetwork, images: np.ndarray) -> None:
    """Fills the first convolution's filters from patches of training images.

    The filters are the directions in which patches vary most, each scaled to variance 1, then
    their negatives, for the ReLU that follows; what filters are left over stay as they are.

    Args:
        images: uint8, (N, *spatial, C); some, evenly spread, are looked at: PIXELS at most.
    """
    weight = network.conv1[0].weight
    at_most = max(1, PIXELS // int(np.prod(images.shape[1:-1])))
    filters = _whitening_filters(images[:: -(-len(images) // at_most)], weight.shape[2:])
    pairs = min(len(weight) // 2, len(filters))
    chosen = torch.from_numpy(filters[:pairs]).to(weight)
    with torch.no_grad():
        weight[:pairs] = chosen
        weight[pairs : 2 * pairs] = -chosen


def _whitening_filters(images: np.ndarray, window: torch.Size) -> np.ndarray:
    """Filters (C * window size, C, *window), largest variance first, of values in [0, 1]."""
    patches = torch.from_numpy(np.moveaxis(images, -1, 1).astype(np.float32) / 255)
    for axis, size in enumerate(window, 2):
        patches = patches.unfold(axis, size, size)
    channels, spatial = images.shape[-1], len(window)
    # (N, C, *places, *window) with the channels beside the window
    patches = patches.movedim(1, 1 + spatial).reshape((-1, channels * window.numel()))
    variances, directions = np.linalg.eigh(np.cov(patches.double().numpy(), rowvar=False))
    filters = directions / np.sqrt(np.maximum(variances, 0) + SMALLEST_VARIANCE)
    return filters.T[::-1].reshape((-1, channels, *window)).copy()
