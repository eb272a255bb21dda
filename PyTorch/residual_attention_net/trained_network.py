"""A network with its weights on a device, opened from a file, and what it says of images."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, Callable, ContextManager, Iterator, Optional, Tuple

import numpy as np
import torch

from common.core.errors import UsageError, ZooError
from common.data.labelled_images import LabelledImages, numbered_names
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.training.torch import runtime as torch_runtime
from common.training.torch import step as torch_step
from common.training.torch.runtime import TorchDevice
from residual_attention_net.data.loader import Batch, EvaluationLoader
from residual_attention_net.data.samples import (
    Complaints,
    SampleFlags,
    class_names,
    dataset_samples,
    image_paths,
    note,
    read_in_batches,
)
from residual_attention_net.network.model import (
    ResidualAttentionNetwork,
    build_network,
    evaluating,
)
from residual_attention_net.network.networks import DEFAULT_NETWORK
from residual_attention_net.network.weights import (
    load_reference_weights,
    read_weights,
    shape_told_by,
)
from residual_attention_net.session import open_device


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights, on its device.

    Attributes:
        classes: the names stored with the weights; None where there are none.
    """

    network: ResidualAttentionNetwork
    device: TorchDevice
    precision: Precision
    classes: Optional[Tuple[str, ...]]

    @property
    def input_size(self) -> int:
        """Pixels a side of an input."""
        return self.network.spec.input_size

    def __call__(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """The probability of every class for images of bytes, see `predict`."""
        return predict(self.network, images, batch_size, self.forward_context)

    def forward_context(self) -> ContextManager[Any]:
        """The context of a forward pass in the precision asked for."""
        return torch_step.forward_context(self.device, self.precision)

    def named_classes(self, of_dataset: Optional[Tuple[str, ...]] = None) -> Tuple[str, ...]:
        """A name for every output: those stored with the weights, the dataset's, else numbers."""
        count = self.network.num_classes
        fits = of_dataset is not None and len(of_dataset) == count
        return self.classes or (of_dataset if fits else numbered_names(count))


def open_trained(
    pth_path: str,
    network: Optional[str] = None,
    device_type: str = "auto",
    device_id: int = 0,
    precision_mode: Optional[str] = None,
) -> TrainedNetwork:
    """Builds the network that a file of weights is of, and loads them.

    What was done to the weights besides loading them is noted on standard error.

    Args:
        pth_path: a checkpoint of this program's training, or a state_dict of the reference.
        network: of what network they are; a checkpoint knows, others default to DEFAULT_NETWORK.

    Raises:
        ZooError: no such file, damaged or of another network; a device that can't be had.
    """
    content = read_weights(pth_path)
    device, precision = open_device(device_type, Place(0, 1, device_id), precision_mode)
    shape = shape_told_by(content)
    named = shape.pop("network", None)
    built = build_network(network or named or DEFAULT_NETWORK, **shape)
    for line in load_reference_weights(built, content)[1:]:
        note(line)
    stored = content.get("classes")
    known = isinstance(stored, (list, tuple)) and len(stored) == built.num_classes
    placed = torch_step.prepare_evaluation(
        torch_runtime.place_model(built, device, precision), precision
    )
    return TrainedNetwork(placed, device, precision, tuple(map(str, stored)) if known else None)


# --- what it says of images ------------------------------------------------------------------


def batches_of(
    network: ResidualAttentionNetwork, images: np.ndarray, batch_size: int
) -> Iterator[Batch]:
    """Images (N, H, W, C) or volumes as a network's inputs, of one shape except on a CPU."""
    device = next(network.parameters()).device
    unlabelled = LabelledImages(images, np.zeros(len(images), np.int64))
    return EvaluationLoader(unlabelled, batch_size, device, pad_last=device.type != "cpu").batches()


def predict(
    network: ResidualAttentionNetwork,
    images: np.ndarray,
    batch_size: int = 64,
    forward_context: Callable[[], ContextManager[Any]] = contextlib.nullcontext,
) -> np.ndarray:
    """The probability of every class for every image.

    Args:
        network: on any device; works in evaluation mode for the time of the call.
        images: uint8, (N, H, W, C), or volumes (N, D, H, W, C), of the network's input size.
        batch_size: how many go through the network at a time.
        forward_context: autocast, as in training.

    Returns:
        float32, (N, classes); every row sums to 1.

    Raises:
        ZooError: images of another shape or type, or an output that is not finite.
    """
    parts = [np.zeros((0, network.num_classes), np.float32)]
    with evaluating(network), torch.no_grad():
        for batch in batches_of(network, images, batch_size):
            with forward_context():
                logits = network(batch.inputs)
            probabilities = torch.softmax(logits.float()[: batch.valid], 1)
            parts.append(probabilities.cpu().numpy())
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise ZooError(
            "the network's output is not finite: its weights hold NaN or infinities, or "
            "the precision is too low; give other weights or --precision_mode O0"
        )
    return found


# --- for programs ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the flags of a program ask for.

    Attributes:
        batches: the samples, as they are read.
        classes: the name of every class.
    """

    trained: TrainedNetwork
    batches: Iterator[LabelledImages]
    classes: Tuple[str, ...]


def open_asked_for(
    flags: SampleFlags, complaints: Complaints, at_most: Optional[int] = None
) -> Asked:
    """Opens the network and the samples that the flags of a program say.

    Args:
        complaints: is told each image that can't be read.
        at_most: so many are shown; further files are told and left out.

    Raises:
        UsageError: image files for a network of volumes; more of a dataset than are shown or had.
    """
    trained = open_trained(
        str(flags.pth_path),
        flags.network,
        flags.device_type,
        flags.device_id,
        flags.precision_mode,
    )
    size, dataset = trained.input_size, flags.dataset
    if not flags.images:
        if at_most is not None and flags.count > at_most:
            raise UsageError(f"--count {flags.count}: a picture shows at most {at_most} images")
        samples = dataset_samples(str(dataset), flags.data_path, flags.count, size)
        return Asked(trained, iter([samples]), trained.named_classes(samples.classes))
    if trained.network.spatial_dims == 3:
        raise UsageError(
            "--images: the weights are of a network for volumes; give "
            "--dataset synthetic_volumes, or call predict() with an array"
        )
    paths = image_paths(flags.images, complaints)
    if at_most is not None and len(paths) > at_most:
        note(f"{len(paths)} images given, a picture shows {at_most}: the first are drawn")
        paths = paths[:at_most]
    of_dataset = None if trained.classes else class_names(dataset, flags.data_path, size)
    batches = read_in_batches(paths, size, at_most or flags.batch_size, complaints)
    return Asked(trained, batches, trained.named_classes(of_dataset))
