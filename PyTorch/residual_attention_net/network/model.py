"""A Residual Attention Network built from its description."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, Tuple

import torch
from torch import nn

from common.core.errors import UsageError, ZooError
from residual_attention_net.network.blocks import (
    BLOCKS,
    LAYERS,
    AttentionModule,
    Layers,
    halving_pool,
)
from residual_attention_net.network.networks import (
    NETWORKS,
    NetworkSpec,
    StageSpec,
    attention_module_name,
    mask_names,
    mask_sizes,
    residual_block_name,
)


class ResidualAttentionNetwork(nn.Module):
    """Images or volumes to class logits.

    Input (B, input_channels, *spatial) with `spatial_dims` sides of `spec.input_size` pixels and
    values in [0, 1], not standardised; output (B, num_classes). Every parameter takes part in the
    loss. Weights start as torch's layers start them, as in the reference.
    """

    def __init__(
        self, spec: NetworkSpec, num_classes: int, spatial_dims: int, input_channels: int
    ) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = num_classes
        self.spatial_dims = spatial_dims
        self.input_channels = input_channels
        layers = LAYERS[spatial_dims]
        self._add_stem(layers)
        channels = spec.stem.channels
        sizes = spec.stage_sizes
        for number, (stage, size) in enumerate(zip(spec.stages, sizes), spec.first_stage):
            self._add_stage(layers, number, stage, channels, size)
            channels = stage.channels
        self._add_head(layers, channels)
        self.body = tuple(name for name, _ in self.named_children())
        self.fc = nn.Linear(spec.head.channels, num_classes)

    def _add_stem(self, layers: Layers) -> None:
        stem = self.spec.stem
        self.conv1 = nn.Sequential(
            layers.convolution(
                self.input_channels,
                stem.channels,
                stem.kernel,
                stem.stride,
                padding=stem.kernel // 2,
                bias=False,
            ),
            layers.batch_norm(stem.channels),
            nn.ReLU(inplace=True),
        )
        if stem.pool:
            self.mpool1 = halving_pool(layers, stem.pool)

    def _add_stage(
        self, layers: Layers, number: int, stage: StageSpec, input_channels: int, size: int
    ) -> None:
        spec = self.spec
        block = BLOCKS[spec.block](layers, input_channels, stage.channels, stage.stride)
        self.add_module(residual_block_name(number), block)
        names = mask_names(spec.mask_naming, stage.mask_depth)
        sizes = mask_sizes(size, stage.mask_depth)
        for module in range(1, stage.modules + 1):
            attention = AttentionModule(
                layers, stage.channels, sizes, names, spec.block, spec.trunk_blocks
            )
            self.add_module(attention_module_name(number, module), attention)

    def _add_head(self, layers: Layers, input_channels: int) -> None:
        head, first = self.spec.head, self.spec.first_stage + len(self.spec.stages)
        for number in range(first, first + head.blocks):
            stride = head.stride if number == first else 1
            block = BLOCKS[self.spec.block](layers, input_channels, head.channels, stride)
            self.add_module(residual_block_name(number), block)
            input_channels = head.channels
        self.mpool2 = nn.Sequential(
            layers.batch_norm(head.channels),
            nn.ReLU(inplace=True),
            layers.average_pool(kernel_size=self.spec.head_size, stride=1),
        )

    @property
    def input_shape(self) -> Tuple[int, ...]:
        """(input_channels, *spatial): what one sample must be."""
        return (self.input_channels,) + (self.spec.input_size,) * self.spatial_dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, num_classes). Raises ZooError for an input of another shape."""
        if not torch.jit.is_tracing():
            self._check_shape(x)
        for name in self.body:
            x = getattr(self, name)(x)
        return self.fc(torch.flatten(x, 1))

    def _check_shape(self, x: torch.Tensor) -> None:
        if tuple(x.shape[1:]) != self.input_shape:
            raise ZooError(
                f"network {self.spec.name} takes samples of shape {self.input_shape}, "
                f"not {tuple(x.shape[1:])}: resize them, or choose another "
                "network"
            )

    def attention_modules(self) -> Iterator[Tuple[str, AttentionModule]]:
        """Name and module of each attention module, from the input to the output."""
        for name, child in self.named_children():
            if isinstance(child, AttentionModule):
                yield name, child

    def masks(self, x: torch.Tensor) -> Dict[str, torch.Tensor]:
        """Return each attention module's mask for x, by name, from the input to the output.

        x as for forward; a mask is (B, channels, *size of its stage), values in (0, 1). Works on
        a network in evaluation mode for the time of the call; nothing is kept for gradients.
        """
        found: Dict[str, torch.Tensor] = OrderedDict()
        hooks = [
            module.gate.register_forward_hook(_keep_output(found, name))
            for name, module in self.attention_modules()
        ]
        try:
            with evaluating(self), torch.no_grad():
                self(x)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _keep_output(found: Dict[str, torch.Tensor], name: str) -> Callable[..., None]:
    """Make a forward hook that stores a module's output under `name`."""

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        found[name] = output

    return keep


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Put a network in evaluation mode, then each of its modules back in the mode it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield network
    finally:
        for module, training in modes:
            module.training = training


def build_network(
    name: str, num_classes: int = 10, spatial_dims: int = 2, input_channels: int = 3
) -> ResidualAttentionNetwork:
    """Build a network by its name in NETWORKS, for images (spatial_dims 2) or volumes (3).

    Raises UsageError for an unknown name, other dimensions, or a count below one.
    """
    if name not in NETWORKS:
        raise UsageError("no network {!r}: choose one of {}".format(name, ", ".join(NETWORKS)))
    if spatial_dims not in LAYERS:
        raise UsageError(f"spatial_dims {spatial_dims!r}: choose 2 (images) or 3 (volumes)")
    if num_classes < 1 or input_channels < 1:
        raise UsageError(
            f"num_classes {num_classes!r}, input_channels {input_channels!r}: both must "
            "be at least 1"
        )
    return ResidualAttentionNetwork(NETWORKS[name], num_classes, spatial_dims, input_channels)
