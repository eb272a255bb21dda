"""Tells the class of images: python -m residual_attention_net.predict --help."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from common.command_line import Parser, add_debug_flag, number_in, run_program
from common.errors import UsageError, ZooError
from residual_attention_net.image_files import (
    Samples,
    add_image_flags,
    check_image_flags,
    class_names,
    dataset_samples,
    image_paths,
    read_in_batches,
)
from residual_attention_net.networks import DEFAULT_NETWORK, NETWORKS
from residual_attention_net.options import Options, make_parser

if TYPE_CHECKING:
    from common.precision import Precision
    from common.torch_runtime import TorchDevice
    from residual_attention_net.model import ResidualAttentionNetwork

DATASET_COUNT = 10


# --- the network -----------------------------------------------------------------------------


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
        from common import torch_runtime

        return torch_runtime.forward_context(self.device, self.precision)


def add_weight_flags(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds --pth_path and --network: the weights, and what they are of."""
    group = parser.add_argument_group("weights")
    group.add_argument("--pth_path", required=required,
                       help="weights: a checkpoint, or a state_dict as published")
    group.add_argument("--network", choices=list(NETWORKS), metavar="NAME",
                       help="what a state_dict is of, one of {} (default: {}); a checkpoint knows"
                       .format(", ".join(NETWORKS), DEFAULT_NETWORK))


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --device_type, --device_id, --precision_mode and --batch_size."""
    group = parser.add_argument_group("device")
    group.add_argument("--device_type", choices=("auto", "npu", "gpu", "cpu"), default="auto",
                       help="what to compute on")
    group.add_argument("--device_id", type=number_in(int, 0), default=0, help="which one")
    group.add_argument("--precision_mode", help="see docs/precision.md (default: by device)")
    group.add_argument("--batch_size", type=number_in(int, 1), default=64,
                       help="images at a time")


def open_trained(pth_path: str, network: Optional[str] = None, device_type: str = "auto",
                 device_id: int = 0, precision_mode: Optional[str] = None) -> TrainedNetwork:
    """Builds the network that a file of weights is of, and loads them.

    Args:
        pth_path: a checkpoint of this program's training, or a state_dict of the reference.
        network: of what network they are; a checkpoint knows, others default to DEFAULT_NETWORK.

    Raises:
        ZooError: no such file, damaged or of another network; a device that can't be had.
    """
    from common import torch_runtime
    from residual_attention_net.model import build_network
    from residual_attention_net.ranks import Place
    from residual_attention_net.reference_weights import load_reference_weights, state_dict_of
    from residual_attention_net.session import open_device

    known, content = _read_weights(Path(pth_path))
    weights = state_dict_of(content)
    device, precision = open_device(
        _options(device_type=device_type, device_id=device_id, precision_mode=precision_mode),
        Place(0, 1, device_id))
    shape = dict(_shape_told_by(weights), **known)
    shape["name"] = network or shape.pop("network", None) or DEFAULT_NETWORK
    shape.pop("network", None)
    built = build_network(**shape)
    report = load_reference_weights(built, weights)
    classes = _stored_classes(content, built.num_classes)
    placed = torch_runtime.place_model(built, device, precision)
    return TrainedNetwork(placed, device, precision, classes, tuple(report.lines()[1:]))


def _read_weights(path: Path) -> Tuple[Dict[str, Any], Any]:
    """What a file says of its network ({} for a state_dict), and its whole content."""
    from residual_attention_net import checkpoint
    from residual_attention_net.safe_load import safe_load
    from residual_attention_net.weights import network_of

    known = network_of(path)
    return known, checkpoint.load(path) if known else safe_load(path)


def _options(**chosen: Any) -> Options:
    """The flags of an evaluation at their defaults, but for those chosen."""
    return Options(**dict(vars(make_parser("evaluate").parse_args([])), **chosen))


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


def predict(network: ResidualAttentionNetwork, images: np.ndarray, batch_size: int = 64,
            forward_context: Callable[[], ContextManager[Any]] = contextlib.nullcontext
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
    import torch

    from residual_attention_net.labelled_images import LabelledImages
    from residual_attention_net.loader import EvaluationLoader
    from residual_attention_net.model import evaluating

    device = next(network.parameters()).device
    unlabelled = LabelledImages(images, np.zeros(len(images), np.int64), ("",))
    loader = EvaluationLoader(unlabelled, batch_size, device, pad_last=device.type != "cpu")
    parts = [np.zeros((0, network.num_classes), np.float32)]
    with evaluating(network), torch.no_grad():
        for batch in loader.batches():
            with forward_context():
                logits = network(batch.inputs)
            probabilities = torch.softmax(logits.float()[:batch.valid], 1)
            parts.append(probabilities.cpu().numpy())
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise ZooError("the network's output is not finite: its weights hold NaN or infinities, or "
                       "the precision is too low; give other weights or --precision_mode O0")
    return found


# --- the program -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was found for one sample: the most probable classes, the best first."""

    file: str
    truth: Optional[str]
    top: Tuple[Tuple[str, int, float], ...]

    def as_json(self) -> Dict[str, Any]:
        """The prediction as --json prints it; probabilities from 0 to 1."""
        best = [{"class": name, "index": index, "probability": round(probability, 6)}
                for name, index, probability in self.top]
        found = dict(best[0], file=self.file, top=best)
        return found if self.truth is None else dict(found, truth=self.truth)

    def cells(self) -> List[str]:
        """The prediction as a line of the printed table."""
        name, _, probability = self.top[0]
        rest = ", ".join("{} {:.1f} %".format(name, 100 * value) for name, _, value in self.top)
        truth = [] if self.truth is None else [self.truth]
        return [self.file] + truth + [name, "{:.2f} %".format(100 * probability), rest]


def predictions(samples: Samples, probabilities: np.ndarray, classes: Sequence[str],
                top: int) -> List[Prediction]:
    """The `top` most probable classes of every sample.

    Args:
        probabilities: float32, (N, classes), from `predict`.
        classes: the name of every class.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Prediction(name, None if truth is None else _class_name(classes, truth), tuple(
            (classes[index], int(index), float(row[index])) for index in best))
        for name, truth, row, best in zip(samples.names, samples.truths, probabilities, order)]


def _class_name(classes: Sequence[str], number: int) -> str:
    return classes[number] if number < len(classes) else str(number)


def _parser() -> Parser:
    parser = Parser(prog="residual_attention_net.predict",
                    description="Tells the class of images, with its probability.")
    add_weight_flags(parser)
    add_image_flags(parser, DATASET_COUNT)
    parser.add_argument("--top", type=number_in(int, 1), default=3,
                        help="how many classes to tell of each image")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_device_flags(parser)
    add_debug_flag(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Predicts and prints; returns 1 where a file could not be read, after all the others."""
    arguments = _parser().parse_args(argv)
    check_image_flags(arguments)
    trained = open_trained(arguments.pth_path, arguments.network, arguments.device_type,
                           arguments.device_id, arguments.precision_mode)
    for line in trained.told:
        note(line)
    complaints = Complaints()
    batches, classes, names = _asked_for(arguments, trained, complaints)
    output = _Table(names, classes, bool(arguments.images), arguments.json)
    for samples in batches:
        found = predict(trained.network, samples.images, arguments.batch_size,
                        trained.forward_context)
        output.add(predictions(samples, found, classes, arguments.top))
    output.end(complaints.lines)
    return 1 if complaints.lines else 0


def _asked_for(arguments: argparse.Namespace, trained: TrainedNetwork, complaints: Complaints
               ) -> Tuple[Iterator[Samples], Tuple[str, ...], Sequence[str]]:
    """The samples in batches, the names of the classes, and the names of the samples."""
    size = trained.input_size
    if not arguments.images:
        samples, of_dataset = dataset_samples(arguments.dataset, arguments.data_path,
                                              arguments.count, size)
        return iter([samples]), named_classes(trained, of_dataset), samples.names
    refuse_volumes(trained)
    given = None if arguments.dataset is None else class_names(
        arguments.dataset, arguments.data_path, size)
    paths = image_paths(arguments.images, complaints.add)
    batches = telling_resizes(read_in_batches(paths, size, arguments.batch_size, complaints.add),
                              size)
    return batches, named_classes(trained, given), [str(path) for path in paths]


def refuse_volumes(trained: TrainedNetwork) -> None:
    """Raises UsageError where image files are given to a network for volumes."""
    if trained.network.spatial_dims == 3:
        raise UsageError("--images: the weights are of a network for volumes; give "
                         "--dataset synthetic_volumes, or call predict() with an array")


def telling_resizes(batches: Iterator[Samples], size: int) -> Iterator[Samples]:
    """Passes batches on; says once that images are resized."""
    told = False
    for samples in batches:
        if samples.resized and not told:
            told = True
            note("{}: images of another size are resized to {} x {}: the shorter side scaled, "
                 "the centre cut out".format(samples.resized, size, size))
        yield samples


def note(line: str) -> None:
    """Tells something beside the result, on standard error."""
    print("note: " + line, file=sys.stderr, flush=True)


class Complaints:
    """The files that can't be read: told as they come, kept for the exit code."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def add(self, line: str) -> None:
        """Tells one of them, in one line."""
        self.lines.append(" ".join(line.split()))
        sys.stdout.flush()
        print("error: " + self.lines[-1], file=sys.stderr, flush=True)


class _Table:
    """Prints predictions as they come, in columns; or all at the end, as JSON."""

    def __init__(self, names: Sequence[str], classes: Sequence[str], of_files: bool,
                 as_json: bool) -> None:
        wide = max(map(len, classes))
        self._widths = [max(map(len, names), default=0), max(5, wide), 11]
        self._header = ["file", "class", "probability", "most probable"]
        if not of_files:
            self._widths.insert(1, max(5, wide))
            self._header[:1] = ["sample", "true"]
        self._json = as_json
        self._kept: List[Prediction] = []
        self._begun = False

    def add(self, found: Sequence[Prediction]) -> None:
        """Prints a batch of predictions, or keeps it for the end."""
        if self._json:
            self._kept.extend(found)
            return
        if not self._begun:
            self._print(self._header)
            self._begun = True
        for prediction in found:
            self._print(prediction.cells())

    def _print(self, cells: Sequence[str]) -> None:
        fitted = [cell.ljust(width) for cell, width in zip(cells, self._widths)]
        print("  ".join(fitted + list(cells[len(fitted):])).rstrip(), flush=True)

    def end(self, unreadable: Sequence[str]) -> None:
        """Prints the JSON where it was asked for."""
        if self._json:
            print(json.dumps({"predictions": [kept.as_json() for kept in self._kept],
                              "unreadable": list(unreadable)}, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    run_program(main)
