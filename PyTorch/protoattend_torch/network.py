"""The network: encoders, keys, queries and values, attention, classifier; as the TensorFlow one.

Attributes are named as there, so that a weight has the same path in both.
"""

from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Tuple

import torch
from torch import nn
from torch.nn import functional

from common.training.torch.activations import noted, part
from common.training.torch.layers import Conv2D
from common.training.torch.step import without_autocast
from protoattend.network.architecture import (
    BLOCKS,
    LAYER_NORM_EPSILON,
    MOMENTUM,
    NORM_EPSILON,
    PLAIN,
    RESNET32,
    SPARSEMAX,
    STAGE_CHANNELS,
    Architecture,
    PlainLayer,
)
from protoattend.network.parts import FAR, Attended, Encoded, Losses, Projection

# --- attention -------------------------------------------------------------------------------


def attention_logits(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Scaled products of queries (B, D) with keys (C, D): (B, C)."""
    return queries @ keys.t() / queries.shape[-1] ** 0.5


def attention_weights(logits: torch.Tensor, normalization: str) -> torch.Tensor:
    """Weights of candidates (B, C), rows that sum to 1, by sparsemax or softmax."""
    if normalization == SPARSEMAX:
        return Sparsemax.apply(logits)
    return functional.softmax(logits, dim=-1)


def project(logits: torch.Tensor) -> Projection:
    """Sparsemax with its candidates in order; a value that is no number makes its row nan.

    Source: Martins and Astudillo, ICML 2016, algorithm 1.
    """
    # Sums of large logits lose the differences between them, and a shift changes no weight.
    logits = logits - logits.max(dim=-1, keepdim=True)[0]
    count = logits.shape[-1]
    ordered, rows = torch.topk(logits, count, dim=-1)
    ranks = torch.arange(1, count + 1, dtype=logits.dtype, device=logits.device)
    inside = (1 + ranks * ordered > ordered.cumsum(-1)).to(logits.dtype)
    # Neither a comparison nor a product with 0 hands on every nan: the sum of the row does.
    poison = 0 * logits.sum(-1, keepdim=True)
    kept = torch.where(inside > 0, ordered, torch.zeros_like(ordered))
    threshold = (kept.sum(-1, keepdim=True) - 1) / inside.sum(-1, keepdim=True) + poison
    return Projection(
        functional.relu(logits - threshold), functional.relu(ordered - threshold), rows
    )


class Sparsemax(torch.autograd.Function):
    """`project` with the gradient of the paper's equation 14, which goes through no sort."""

    @staticmethod
    def forward(context: Any, logits: torch.Tensor) -> torch.Tensor:
        weights = project(logits).weights
        context.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(context: Any, upstream: torch.Tensor) -> torch.Tensor:
        (weights,) = context.saved_tensors
        kept = (weights > 0).to(upstream.dtype)
        inside = upstream * kept
        mean = inside.sum(-1, keepdim=True) / kept.sum(-1, keepdim=True)
        return inside - kept * mean


# --- encoders --------------------------------------------------------------------------------

# Images are (B, H, W, C) throughout. Layers are not called: a hook on a call would tell of
# convolutions and norms apart, where the TensorFlow network tells of both together.


def _convolution(size: int, inputs: int, outputs: int, stride: int = 1) -> Conv2D:
    return Conv2D(inputs, outputs, size, stride, bias=False)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    """Its statistics take every batch of a step in turn."""
    return nn.BatchNorm2d(channels, NORM_EPSILON, 1 - MOMENTUM)


def _layer(
    convolution: Conv2D,
    norm: nn.BatchNorm2d,
    images: torch.Tensor,
    pool: int = 1,
    rectified: bool = True,
) -> torch.Tensor:
    """Convolution, the largest of pool x pool, batch norm, ReLU.

    It pools before it normalises, so that less is normalised.
    """
    values = convolution.forward(images).permute(0, 3, 1, 2)
    if pool > 1:
        values = functional.max_pool2d(values, pool, ceil_mode=True)
    values = norm.forward(values)
    values = functional.relu_(values) if rectified else values  # before it has a view
    return noted("", values.permute(0, 2, 3, 1), norm)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(3, inputs, outputs, stride)
        self.first_norm = _batch_norm(outputs)
        self.second = _convolution(3, outputs, outputs)
        self.second_norm = _batch_norm(outputs)
        self.shortcut = _convolution(1, inputs, outputs, stride) if stride > 1 else None

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(B, H, W, inputs) to (B, H / stride, W / stride, outputs)."""
        hidden = _layer(self.first, self.first_norm, images)
        hidden = _layer(self.second, self.second_norm, hidden, rectified=False)
        if self.shortcut is not None:
            images = noted("", self.shortcut.forward(images), self.shortcut)
        return noted("", functional.relu_(images + hidden), self)


class ResNet32(nn.Module):
    """The residual network for CIFAR (He et al. 2016, section 4.2), with 1x1 shortcuts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = STAGE_CHANNELS[-1]
        self.entry = _convolution(3, channels, STAGE_CHANNELS[0])
        self.entry_norm = _batch_norm(STAGE_CHANNELS[0])
        inputs = STAGE_CHANNELS[0]
        for stage, outputs in enumerate(STAGE_CHANNELS):
            for number in range(BLOCKS):
                block = ResidualBlock(inputs, outputs, 2 if stage and not number else 1)
                self.add_module(f"stage{stage}_block{number}", block)
                inputs = outputs

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) to (B, 64)."""
        hidden = _layer(self.entry, self.entry_norm, images)
        for block in self.children():
            hidden = block.encode(hidden) if isinstance(block, ResidualBlock) else hidden
        return hidden.mean((1, 2))


class PlainEncoder(nn.Module):
    """Convolutions with batch norm, one after the other, for processors."""

    def __init__(self, channels: int, layers: Sequence[PlainLayer]) -> None:
        super().__init__()
        self.width, self.pools = layers[-1].outputs, [layer.pool for layer in layers]
        for number, layer in enumerate(layers):
            convolution = _convolution(layer.size, channels, layer.outputs, layer.stride)
            self.add_module(f"convolution{number}", convolution)
            self.add_module(f"norm{number}", _batch_norm(layer.outputs))
            channels = layer.outputs

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) to (B, 128)."""
        for number, pool in enumerate(self.pools):
            convolution, norm = (getattr(self, f"{one}{number}") for one in ("convolution", "norm"))
            images = _layer(convolution, norm, images, pool)
        return images.mean((1, 2))


# --- the whole -------------------------------------------------------------------------------


class PrototypeNetwork(nn.Module):
    """ProtoAttend (Arik and Pfister 2020, figure 1): one encoder, three heads, one classifier.

    Attributes:
        frozen: the encoder stays as it is: its batch norms use their running statistics.
        mixed_share: share of the candidates' mixed values in the joint classification; the rest
            are the queries' own.
        detached: no gradient of the attention reaches the encoder.
    """

    def __init__(
        self,
        architecture: Architecture,
        mixed_share: float = 0.5,
        frozen: bool = False,
        detached: bool = False,
    ) -> None:
        super().__init__()
        self.architecture, self.mixed_share = architecture, mixed_share
        self.frozen, self.detached = frozen, detached
        channels, width = architecture.image_shape[-1], architecture.final_units
        if architecture.encoder == RESNET32:
            self.encoder: nn.Module = ResNet32(channels)
        else:
            self.encoder = PlainEncoder(channels, PLAIN[architecture.encoder])
        self.encoder.requires_grad_(not frozen)
        self.representation = nn.Linear(self.encoder.width, width)
        self.representation_norm = nn.LayerNorm(width, LAYER_NORM_EPSILON)
        self.key = nn.Linear(width, architecture.attention_dim)
        self.query = nn.Linear(width, architecture.attention_dim)
        self.value = nn.Linear(width, architecture.val_dim)
        self.value_norm = nn.LayerNorm(architecture.val_dim, LAYER_NORM_EPSILON)
        self.classifier = nn.Linear(architecture.val_dim, architecture.classes, bias=False)

    def train(self, mode: bool = True) -> PrototypeNetwork:
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def encode(self, images: torch.Tensor) -> Encoded:
        """Encodes images of bytes (B, H, W, C), or standardised ones."""
        dtype = next(self.encoder.parameters()).dtype
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        given = noted("standardised", standardised(images, wide))
        vectors = self.encoder.encode(given.to(dtype))
        with without_autocast(vectors.device.type):
            hidden = functional.relu(_through(self.representation, vectors))
            represented = self.representation_norm(hidden)
            attending = represented.detach() if self.detached else represented
            return Encoded(
                _wide(functional.relu(self.key(attending))),
                _wide(functional.relu(self.query(attending))),
                _wide(self.value_norm(functional.relu(self.value(represented)))),
            )

    def classify(self, values: torch.Tensor) -> torch.Tensor:
        """Logits of the classes (B, classes) from own, mixed or half-and-half values."""
        with without_autocast(values.device.type):
            return _wide(_through(self.classifier, values))

    def attend(self, queries: Encoded, candidates: Encoded, exclude_self: bool = False) -> Attended:
        """Attention of queries over candidates, and what the classifier makes of it.

        Args:
            exclude_self: both are the same images, and none attends to itself.
        """
        with without_autocast(queries.values.device.type):
            logits = noted("attention_logits", attention_logits(queries.queries, candidates.keys))
            if exclude_self:
                itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
                logits = logits.masked_fill(itself, FAR)
            weights = attention_weights(logits, self.architecture.normalization)
            weights = noted("attention_weights", weights)
            theirs = candidates.values.detach() if self.detached else candidates.values
            mixed = noted("mixed_values", weights @ theirs)
            joint = (1 - self.mixed_share) * queries.values + self.mixed_share * mixed
        return Attended(
            weights, *(self.classify(values) for values in (queries.values, mixed, joint))
        )

    def forward(
        self, images: torch.Tensor, candidates: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, ...]:
        """What Attended has, of images (B, H, W, C); without candidates by one another."""
        with part("queries"):
            queries = self.encode(images)
        if candidates is None or not len(candidates):
            return tuple(self.attend(queries, queries, exclude_self=True))
        with part("candidates"):
            encoded = self.encode(candidates)
        return tuple(self.attend(queries, encoded))


def _through(layer: nn.Linear, vectors: torch.Tensor) -> torch.Tensor:
    """A layer in the type of its weights, which some precision modes make float16."""
    return layer(vectors.to(layer.weight.dtype))


def _wide(values: torch.Tensor) -> torch.Tensor:
    """At least float32: close logits must stay apart, and a thousand weights must sum to 1."""
    return values if values.dtype == torch.float64 else values.float()


def standardised(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Images of bytes (B, H, W, C) as floats of mean 0 and deviation 1, each by itself.

    The deviation is at least 1/sqrt(H W C), as in tf.image.per_image_standardization. Floats are
    taken for standardised.
    """
    if images.is_floating_point():
        return images
    floats = images.to(dtype)
    pixels = floats.flatten(1)
    deviation = pixels.std(1, unbiased=False).clamp(min=pixels.shape[1] ** -0.5)
    shape = (-1, 1, 1, 1)
    return (floats - pixels.mean(1).view(shape)) / deviation.view(shape)


# --- losses ----------------------------------------------------------------------------------


def losses_of(attended: Attended, labels: torch.Tensor, epsilon: float) -> Losses:
    """Mean cross-entropies against labels (B,), and the mean entropy of the attention.

    The entropy is less the largest there can be, so at most about 0 (the paper's equation 5).
    """
    weights = attended.weights
    entropy = -(weights * torch.log(epsilon + weights)).sum(-1).mean()
    parts = (attended.own, attended.mixed, attended.joint)
    return Losses(
        *(functional.cross_entropy(logits, labels) for logits in parts),
        sparsity=entropy - math.log(epsilon + weights.shape[-1]),
    )


def kernel_penalty(network: PrototypeNetwork, weight: float) -> torch.Tensor:
    """`weight` times half the sum of squares of the encoder's convolution kernels."""
    kernels = [one.reshape(-1) for one in network.encoder.parameters() if one.dim() == 4]
    return 0.5 * weight * torch.cat(kernels).square().sum()
