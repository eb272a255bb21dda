"""A Residual Attention Network built from its description, and how much it computes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

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

COUNTED_LAYERS = (nn.Conv2d, nn.Conv3d, nn.Linear)


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
        if not torch.jit.is_tracing() and tuple(x.shape[1:]) != self.input_shape:
            raise ZooError(
                f"network {self.spec.name} takes samples of shape {self.input_shape}, "
                f"not {tuple(x.shape[1:])}: resize them, or choose another network"
            )
        for name in self.body:
            x = getattr(self, name)(x)
        return self.fc(torch.flatten(x, 1))

    def masks(self, x: torch.Tensor) -> Dict[str, torch.Tensor]:
        """Return each attention module's mask for x, by name, from the input to the output.

        x as for forward; a mask is (B, channels, *size of its stage), values in (0, 1). Works on
        a network in evaluation mode for the time of the call; nothing is kept for gradients.
        """
        found: Dict[str, torch.Tensor] = {}
        gates = {
            child.gate: name
            for name, child in self.named_children()
            if isinstance(child, AttentionModule)
        }

        def keep(gate: nn.Module, inputs: Any, mask: torch.Tensor) -> None:
            found[gates[gate]] = mask

        with evaluating(self), _hooked(gates, keep), torch.no_grad():
            self(x)
        return found


@contextmanager
def _hooked(modules: Iterable[nn.Module], hook: Callable[..., None]) -> Iterator[None]:
    """Calls hook(module, inputs, output) after each of these modules' forward passes."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
    if spatial_dims not in LAYERS or num_classes < 1 or input_channels < 1:
        raise UsageError(
            f"spatial_dims {spatial_dims!r}, num_classes {num_classes!r}, input_channels "
            f"{input_channels!r}: 2 (images) or 3 (volumes), and counts of at least 1 are needed"
        )
    return ResidualAttentionNetwork(NETWORKS[name], num_classes, spatial_dims, input_channels)


@dataclass(frozen=True)
class Complexity:
    """Parameters that are trained, and multiply-accumulates of one forward pass of one sample."""

    parameters: int
    multiply_accumulates: int


def measure_complexity(network: ResidualAttentionNetwork) -> Complexity:
    """Run one sample of zeros and count the convolutions' and linear layers' operations.

    Batch norm, activations, pools and interpolations are not counted, as is usual. The network
    keeps its mode and its batch-norm statistics.
    """
    counts: List[int] = []

    def count(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        # Each output value is one sum over a filter: all of the weight but its first axis.
        counts.append(output.numel() * layer.weight[0].numel())

    layers = [layer for layer in network.modules() if isinstance(layer, COUNTED_LAYERS)]
    with evaluating(network), _hooked(layers, count), torch.no_grad():
        network(next(network.parameters()).new_zeros((1,) + network.input_shape))
    return Complexity(sum(one.numel() for one in network.parameters()), sum(counts))
