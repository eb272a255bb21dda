"""The losses and what is told of slots beside them; formulas as in the TensorFlow network."""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping

import torch

from common.training.torch.activations import noted
from slot_attention.metrics.matching import (
    HUBER_DELTA,
    LEAST_COSINE,
    LEAST_OVERLAP,
    LEAST_SHARE,
    TINY,
    best_matching,
)


def reconstruction_loss(images: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
    """Mean squared error over batch, pixels and channels."""
    return (images - combined).square().mean()


def huber_cost(targets: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
    """Huber error of every pair, mean over the attributes: (B, N, A), (B, K, A) to (B, N, K)."""
    error = (targets.unsqueeze(2) - predictions.unsqueeze(1)).abs()
    quadratic = error.clamp(max=HUBER_DELTA)
    return (0.5 * quadratic**2 + HUBER_DELTA * (error - quadratic)).mean(-1)


def hungarian_huber_loss(targets: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
    """Sum of the best matching's costs, mean over the batch.

    The matching is found on the host and is no part of the gradient. targets: (B, N, A),
    predictions: (B, K, A); N and K may differ.
    """
    cost = huber_cost(targets, predictions)
    chosen = torch.from_numpy(best_matching(cost.detach().cpu().numpy()))
    chosen = noted("matching", chosen.to(cost.device, cost.dtype))
    return (cost * chosen).sum((1, 2)).mean()


def diagnostics(found: Mapping[str, Any]) -> Dict[str, torch.Tensor]:
    """Entropy of the last attention, pairs of slots of nearly one direction.

    With masks (B, K, height, width, 1) also slots that own pixels, and pairs that share them.
    """
    attention, slots = found["attention"][-1].float(), found["slots"].float()
    entropy = -(attention * attention.clamp(min=TINY).log()).sum(-1)
    directions = slots * slots.square().sum(2, keepdim=True).clamp(min=TINY).rsqrt()
    cosines = torch.matmul(directions, directions.transpose(1, 2))
    told = {
        "attention_entropy": entropy.mean() / max(math.log(attention.shape[-1]), TINY),
        "similar_slots": _mean_pairs(cosines >= LEAST_COSINE),
    }
    if "masks" not in found:
        return told
    flat = found["masks"].float().flatten(2)
    count, pixels = flat.shape[1:]
    owned = torch.nn.functional.one_hot(flat.argmax(1), count).float().mean(1)
    size = flat.sum(2)
    # One slot at a time against all: (B, K, K, pixels) would not fit.
    shared = torch.stack(
        [torch.min(flat, flat[:, one : one + 1]).sum(2) for one in range(count)], 1
    )
    union = size[:, :, None] + size[:, None, :] - shared
    large = size >= LEAST_SHARE * pixels
    duplicate = (shared >= LEAST_OVERLAP * union) & large[:, :, None] & large[:, None, :]
    told["slots_in_use"] = (owned >= LEAST_SHARE).float().sum(1).mean()
    told["duplicate_masks"] = _mean_pairs(duplicate)
    return told


def _mean_pairs(holds: torch.Tensor) -> torch.Tensor:
    """The mean over the batch of how many pairs of two different slots hold, of (B, K, K)."""
    return holds.float().triu(1).sum((1, 2)).mean()
