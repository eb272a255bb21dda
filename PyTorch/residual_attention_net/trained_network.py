"""A network with its weights on a device, opened from a file: what prediction and pictures need."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ContextManager,
    Dict,
    Iterator,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from common.core.command_line import number_in
from common.core.errors import UsageError
from common.data.image_files import readable_name
from common.data.labelled_images import numbered_names
from common.machine.devices import REQUESTS
from residual_attention_net.data.samples import (
    Complaints,
    Samples,
    class_names,
    dataset_samples,
    image_paths,
    note,
    read_in_batches,
)
from residual_attention_net.network.networks import DEFAULT_NETWORK, NETWORKS
from residual_attention_net.options import NEEDS_FILES, Options

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

    def __call__(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """The probability of every class for images of bytes, see predict.predict."""
        from residual_attention_net.predict import predict

        return predict(self.network, images, batch_size, self.forward_context)

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
        choices=REQUESTS,
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
    report = load_reference_weights(built, content)
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


def open_asked_for(arguments: argparse.Namespace) -> TrainedNetwork:
    """Opens what the flags of add_weight_flags and add_device_flags say, and notes what is told."""
    trained = open_trained(
        arguments.pth_path,
        arguments.network,
        arguments.device_type,
        arguments.device_id,
        arguments.precision_mode,
    )
    for line in trained.told:
        note(line)
    return trained


def samples_asked_for(
    arguments: argparse.Namespace,
    trained: TrainedNetwork,
    complaints: Complaints,
    at_most: Optional[int] = None,
) -> Tuple[Iterator[Samples], Tuple[str, ...], Sequence[str]]:
    """The samples that the flags of add_image_flags say, by batch, the classes, and the names.

    Args:
        at_most: so many are shown; further files are told and left out.

    Raises:
        UsageError: image files for a network of volumes; more of a dataset than are shown or had.
    """
    size, name = trained.input_size, arguments.dataset
    if not arguments.images:
        if at_most is not None and arguments.count > at_most:
            raise UsageError(f"--count {arguments.count}: a picture shows at most {at_most} images")
        samples, classes = dataset_samples(name, arguments.data_path, arguments.count, size)
        return iter([samples]), named_classes(trained, classes), samples.names
    if trained.network.spatial_dims == 3:
        raise UsageError(
            "--images: the weights are of a network for volumes; give "
            "--dataset synthetic_volumes, or call predict() with an array"
        )
    paths = image_paths(arguments.images, complaints.add)
    if at_most is not None and len(paths) > at_most:
        note(f"{len(paths)} images given, a picture shows {at_most}: the first are drawn")
    # A run's dataset may lie elsewhere by now; its names are then not known.
    nameless = name in NEEDS_FILES and name != "cifar10" and not arguments.data_path
    of_dataset = None if name is None or nameless else class_names(name, arguments.data_path, size)
    batches = read_in_batches(
        paths[:at_most], size, at_most or arguments.batch_size, complaints.add
    )
    names = [readable_name(path) for path in paths]
    return batches, named_classes(trained, of_dataset), names


def named_classes(trained: TrainedNetwork, of_dataset: Optional[Sequence[str]]) -> Tuple[str, ...]:
    """A name for every output: those stored with the weights, the dataset's, else numbers."""
    count = trained.network.num_classes
    if trained.classes is not None:
        return trained.classes
    if of_dataset is not None and len(of_dataset) == count:
        return tuple(of_dataset)
    return numbered_names(count)
