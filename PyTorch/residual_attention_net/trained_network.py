"""A network with its weights on a device, opened from a file: what prediction and pictures need."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ContextManager, Dict, Mapping, Optional, Sequence, Tuple

from common.core.command_line import number_in
from residual_attention_net.network.networks import DEFAULT_NETWORK, NETWORKS
from residual_attention_net.options import Options

if TYPE_CHECKING:
    from common.machine.precision import Precision
    from common.training.torch.runtime import TorchDevice
    from residual_attention_net.network.model import ResidualAttentionNetwork


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights, on its device.

    Attributes:
        classes: the names stored with the weights; None where there are none.
        told: what was done to the weights besides loading them, one fact a line.
    """

    network: ResidualAttentionNetwork
    device: TorchDevice
    precision: Precision
    classes: Optional[Tuple[str, ...]]
    told: Tuple[str, ...]

    @property
    def input_size(self) -> int:
        """Pixels a side of an input."""
        return self.network.spec.input_size

    def forward_context(self) -> ContextManager[Any]:
        """The context of a forward pass in the precision asked for."""
        from common.training.torch import step as torch_step

        return torch_step.forward_context(self.device, self.precision)


def add_weight_flags(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds --pth_path and --network: the weights, and what they are of."""
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--pth_path",
        "--checkpoint",
        required=required,
        help="weights: a checkpoint, or a state_dict as published",
    )
    group.add_argument(
        "--network",
        choices=list(NETWORKS),
        metavar="NAME",
        help="what a state_dict is of, one of {} (default: {}); a checkpoint knows".format(
            ", ".join(NETWORKS), DEFAULT_NETWORK
        ),
    )


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --device_type, --device_id, --precision_mode and --batch_size."""
    group = parser.add_argument_group("device")
    group.add_argument(
        "--device_type",
        "--device",
        choices=("auto", "npu", "gpu", "cpu"),
        default="auto",
        help="what to compute on",
    )
    group.add_argument("--device_id", type=number_in(int, 0), default=0, help="which one")
    group.add_argument("--precision_mode", help="see docs/precision.md (default: by device)")
    group.add_argument("--batch_size", type=number_in(int, 1), default=64, help="images at a time")


def open_trained(
    pth_path: str,
    network: Optional[str] = None,
    device_type: str = "auto",
    device_id: int = 0,
    precision_mode: Optional[str] = None,
) -> TrainedNetwork:
    """Builds the network that a file of weights is of, and loads them.

    Args:
        pth_path: a checkpoint of this program's training, or a state_dict of the reference.
        network: of what network they are; a checkpoint knows, others default to DEFAULT_NETWORK.

    Raises:
        ZooError: no such file, damaged or of another network; a device that can't be had.
    """
    from common.machine.ranks import Place
    from common.training.torch import runtime as torch_runtime
    from common.training.torch import step as torch_step
    from residual_attention_net.network.model import build_network
    from residual_attention_net.network.reference_weights import (
        load_reference_weights,
        state_dict_of,
    )
    from residual_attention_net.session import open_device
    from residual_attention_net.weights import network_told_by, read_weights

    content = read_weights(Path(pth_path))
    known = network_told_by(content)
    weights = state_dict_of(content)
    device, precision = open_device(
        Options(device_type=device_type, device_id=device_id, precision_mode=precision_mode),
        Place(0, 1, device_id),
    )
    shape = dict(_shape_told_by(weights), **known)
    shape["name"] = network or shape.pop("network", None) or DEFAULT_NETWORK
    shape.pop("network", None)
    built = build_network(**shape)
    report = load_reference_weights(built, weights)
    classes = _stored_classes(content, built.num_classes)
    placed = torch_step.prepare_evaluation(
        torch_runtime.place_model(built, device, precision), precision
    )
    return TrainedNetwork(placed, device, precision, classes, tuple(report.lines()[1:]))


def _shape_told_by(weights: Mapping[str, Any]) -> Dict[str, int]:
    """Classes, input channels and spatial dimensions, as far as the tensors' shapes tell them."""
    told: Dict[str, int] = {}
    for name, value in weights.items():
        if name.endswith("fc.weight"):
            told["num_classes"] = int(value.shape[0])
        if name.endswith("conv1.0.weight") and value.dim() in (4, 5):
            told.update(input_channels=int(value.shape[1]), spatial_dims=value.dim() - 2)
    return told


def _stored_classes(content: Mapping[str, Any], count: int) -> Optional[Tuple[str, ...]]:
    stored = content.get("classes")
    if not isinstance(stored, (list, tuple)) or len(stored) != count:
        return None
    return tuple(str(name) for name in stored)


def named_classes(trained: TrainedNetwork, of_dataset: Optional[Sequence[str]]) -> Tuple[str, ...]:
    """A name for every output: those stored with the weights, the dataset's, else numbers."""
    count = trained.network.num_classes
    if trained.classes is not None:
        return trained.classes
    if of_dataset is not None and len(of_dataset) == count:
        return tuple(of_dataset)
    return tuple(str(number) for number in range(count))
