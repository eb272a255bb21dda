"""The training loss: cross-entropy, between two labels where mixup mixed two images."""

from __future__ import annotations

import torch
from torch.nn import functional


def mixed_cross_entropy(
    logits: torch.Tensor, batch: object, smoothing: float = 0.0
) -> torch.Tensor:
    """Mean cross-entropy of logits (B, classes) in float32.

    With smoothing s the target is 1 - s on the label and s spread over all classes (Szegedy et al.,
    arXiv 1512.00567, section 7).

    With mixup (Zhang et al., arXiv 1710.09412, section 2) it is weighted between the labels of the
    two images that each input is made of.
    """
    logits = logits.float() if logits.dtype != torch.float64 else logits
    loss = functional.cross_entropy(logits, batch.targets)
    if batch.mixed_targets is not None:
        other = functional.cross_entropy(logits, batch.mixed_targets)
        loss = batch.mixup_weight * loss + (1.0 - batch.mixup_weight) * other
    if smoothing:
        # Torch has its own only since 1.10.
        uniform = -functional.log_softmax(logits, 1).mean()
        loss = (1.0 - smoothing) * loss + smoothing * uniform
    return loss
