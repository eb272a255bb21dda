"""Tells the class of images: python -m residual_attention_net.predict --help."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Dict,
    List,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from common.core.command_line import Parser, add_debug_flag, number_in, run_program
from common.core.errors import ZooError
from common.core.text import width
from residual_attention_net.data.samples import (
    Complaints,
    Samples,
    add_image_flags,
    check_image_flags,
    class_name,
)
from residual_attention_net.trained_network import (
    add_device_flags,
    add_weight_flags,
    open_asked_for,
    samples_asked_for,
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
            None if truth is None else class_name(classes, truth),
            tuple((classes[index], int(index), float(row[index])) for index in best),
        )
        for name, truth, row, best in zip(samples.names, samples.truths, probabilities, order)
    ]


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
    trained = open_asked_for(arguments)
    complaints = Complaints()
    batches, classes, names = samples_asked_for(arguments, trained, complaints)
    kept: List[Prediction] = []
    table = _columns(names, classes, bool(arguments.images))
    for samples in batches:
        found = predict(
            trained.network, samples.images, arguments.batch_size, trained.forward_context
        )
        if not (kept or arguments.json):
            print(table(_HEADERS[bool(arguments.images)]), flush=True)
        kept += predictions(samples, found, classes, arguments.top)
        for prediction in [] if arguments.json else kept[-len(samples) :]:
            print(table(prediction.cells()), flush=True)
    if arguments.json:
        told = {"predictions": [one.as_json() for one in kept], "unreadable": complaints.lines}
        print(json.dumps(told, indent=2, ensure_ascii=False))
    return 1 if complaints.lines else 0


_HEADERS = {
    True: ["file", "class", "probability", "most probable"],
    False: ["sample", "true", "class", "probability", "most probable"],
}


def _columns(
    names: Sequence[str], classes: Sequence[str], of_files: bool
) -> Callable[[Sequence[str]], str]:
    """Joins the cells of a line, so that columns stand below each other as they come."""
    of_class = max([5] + list(map(width, classes)))
    widths = [max([6] + list(map(width, names))), of_class, 11]
    widths[1:1] = [] if of_files else [of_class]

    def line(cells: Sequence[str]) -> str:
        fitted = [cell + " " * (wide - width(cell)) for cell, wide in zip(cells, widths)]
        return "  ".join(fitted + list(cells[len(fitted) :])).rstrip()

    return line


if __name__ == "__main__":
    run_program(main)
