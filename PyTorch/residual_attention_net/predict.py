"""Tells the class of images: python -m residual_attention_net.predict --help."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from common.core.command_line import Parser, add_debug_flag, number_in, run_program
from common.core.errors import UsageError, ZooError
from common.data.image_files import readable_name
from residual_attention_net.data.samples import (
    Complaints,
    Samples,
    add_image_flags,
    check_image_flags,
    class_names,
    dataset_samples,
    image_paths,
    note,
    read_in_batches,
)
from residual_attention_net.trained_network import (
    TrainedNetwork,
    add_device_flags,
    add_weight_flags,
    named_classes,
    open_trained,
)

if TYPE_CHECKING:
    from residual_attention_net.network.model import ResidualAttentionNetwork

DATASET_COUNT = 10


# --- the library ---------------------------------------------------------------------------


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
    import torch

    from common.data.labelled_images import LabelledImages
    from residual_attention_net.data.loader import EvaluationLoader
    from residual_attention_net.network.model import evaluating

    device = next(network.parameters()).device
    unlabelled = LabelledImages(images, np.zeros(len(images), np.int64))
    loader = EvaluationLoader(unlabelled, batch_size, device, pad_last=device.type != "cpu")
    parts = [np.zeros((0, network.num_classes), np.float32)]
    with evaluating(network), torch.no_grad():
        for batch in loader.batches():
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


# --- the program -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was found for one sample: the most probable classes, the best first."""

    file: str
    truth: Optional[str]
    top: Tuple[Tuple[str, int, float], ...]

    def as_json(self) -> Dict[str, Any]:
        """The prediction as --json prints it; probabilities from 0 to 1."""
        best = [
            {"class": name, "index": index, "probability": round(probability, 6)}
            for name, index, probability in self.top
        ]
        found = dict(best[0], file=self.file, top=best)
        return found if self.truth is None else dict(found, truth=self.truth)

    def cells(self) -> List[str]:
        """The prediction as a line of the printed table."""
        name, _, probability = self.top[0]
        rest = ", ".join(f"{name} {100 * value:.1f} %" for name, _, value in self.top)
        truth = [] if self.truth is None else [self.truth]
        return [self.file] + truth + [name, f"{100 * probability:.2f} %", rest]


def predictions(
    samples: Samples, probabilities: np.ndarray, classes: Sequence[str], top: int
) -> List[Prediction]:
    """The `top` most probable classes of every sample.

    Args:
        probabilities: float32, (N, classes), from `predict`.
        classes: the name of every class.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Prediction(
            name,
            None if truth is None else _class_name(classes, truth),
            tuple((classes[index], int(index), float(row[index])) for index in best),
        )
        for name, truth, row, best in zip(samples.names, samples.truths, probabilities, order)
    ]


def _class_name(classes: Sequence[str], number: int) -> str:
    return classes[number] if number < len(classes) else str(number)


def _parser() -> Parser:
    parser = Parser(
        prog="residual_attention_net.predict",
        description="Tells the class of images, with its probability.",
    )
    add_weight_flags(parser)
    add_image_flags(parser, DATASET_COUNT)
    parser.add_argument(
        "--top", type=number_in(int, 1), default=3, help="how many classes to tell of each image"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_device_flags(parser)
    add_debug_flag(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Predicts and prints; returns 1 where a file could not be read, after all the others."""
    arguments = _parser().parse_args(argv)
    check_image_flags(arguments)
    trained = open_trained(
        arguments.pth_path,
        arguments.network,
        arguments.device_type,
        arguments.device_id,
        arguments.precision_mode,
    )
    for line in trained.told:
        note(line)
    complaints = Complaints()
    batches, classes, names = _asked_for(arguments, trained, complaints)
    output = _Table(names, classes, bool(arguments.images), arguments.json)
    for samples in batches:
        found = predict(
            trained.network, samples.images, arguments.batch_size, trained.forward_context
        )
        output.add(predictions(samples, found, classes, arguments.top))
    output.end(complaints.lines)
    return 1 if complaints.lines else 0


def _asked_for(
    arguments: argparse.Namespace, trained: TrainedNetwork, complaints: Complaints
) -> Tuple[Iterator[Samples], Tuple[str, ...], Sequence[str]]:
    """The samples in batches, the names of the classes, and the names of the samples."""
    size = trained.input_size
    if not arguments.images:
        samples, of_dataset = dataset_samples(
            arguments.dataset, arguments.data_path, arguments.count, size
        )
        return iter([samples]), named_classes(trained, of_dataset), samples.names
    refuse_volumes(trained)
    given = (
        None
        if arguments.dataset is None
        else class_names(arguments.dataset, arguments.data_path, size)
    )
    paths = image_paths(arguments.images, complaints.add)
    batches = read_in_batches(paths, size, arguments.batch_size, complaints.add)
    return batches, named_classes(trained, given), [readable_name(path) for path in paths]


def refuse_volumes(trained: TrainedNetwork) -> None:
    """Raises UsageError where image files are given to a network for volumes."""
    if trained.network.spatial_dims == 3:
        raise UsageError(
            "--images: the weights are of a network for volumes; give "
            "--dataset synthetic_volumes, or call predict() with an array"
        )


class _Table:
    """Prints predictions as they come, in columns; or all at the end, as JSON."""

    def __init__(
        self, names: Sequence[str], classes: Sequence[str], of_files: bool, as_json: bool
    ) -> None:
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
        print("  ".join(fitted + list(cells[len(fitted) :])).rstrip(), flush=True)

    def end(self, unreadable: Sequence[str]) -> None:
        """Prints the JSON where it was asked for."""
        if self._json:
            print(
                json.dumps(
                    {
                        "predictions": [kept.as_json() for kept in self._kept],
                        "unreadable": list(unreadable),
                    },
                    indent=2,
                    ensure_ascii=False,
                )
            )


if __name__ == "__main__":
    run_program(main)
