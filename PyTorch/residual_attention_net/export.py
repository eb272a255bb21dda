"""Writes a network as ONNX or TorchScript: python -m residual_attention_net.export --help."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.core.command_line import Parser, add_debug_flag, number_in, run_program
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder, write_atomically
from common.data import dataset_name
from common.training.onnx_facts import add_facts
from residual_attention_net.data.samples import dataset_samples, note
from residual_attention_net.options import DATASETS
from residual_attention_net.trained_network import add_weight_flags, open_trained

if TYPE_CHECKING:
    import torch

    from residual_attention_net.network.model import ResidualAttentionNetwork

FORMATS = ("onnx", "torchscript")
INPUT, OUTPUT = "images", "logits"
DYNAMIC = "dynamic"
# Resize with aligned corners came with 11; 13 is the newest that torch 1.8 writes.
OLDEST_OPSET, DEFAULT_OPSET = 11, 13
TOLERANCE = 1e-4
BATCHES_CHECKED = 2
DYNAMIC_SIZES = (1, 3)
SAMPLES_READ = 16

Program = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far an exported network is from the original.

    Attributes:
        largest: the largest absolute difference of a logit.
        scale: the largest absolute logit of the original.
        images: how many were compared.
    """

    largest: float
    scale: float
    images: int

    def within(self, tolerance: float) -> bool:
        """Whether it is at most tolerance, or tolerance times the largest logit above 1."""
        return self.largest <= tolerance * max(1.0, self.scale)


# --- writing ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch 2 says of these formats, which are what was asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def as_torchscript(network: ResidualAttentionNetwork, example: torch.Tensor) -> bytes:
    """The network, in evaluation mode, as a TorchScript file for any batch size."""
    import torch

    stream = io.BytesIO()
    with _quiet(), torch.no_grad():
        # Its own check repeats the trace's input only; compare() uses other batches.
        torch.jit.save(torch.jit.trace(network, example, check_trace=False), stream)
    return stream.getvalue()


def as_onnx(
    network: ResidualAttentionNetwork,
    example: torch.Tensor,
    dynamic: bool,
    opset: int = DEFAULT_OPSET,
) -> bytes:
    """The network, in evaluation mode, as an ONNX file: `images` to `logits`.

    Args:
        example: a batch; its size is the file's, unless `dynamic`.
        dynamic: any batch size.
        opset: the version of ONNX's operators.

    Raises:
        UsageError: an opset that this torch can't write.
    """
    import torch

    options: Dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
    if dynamic:
        options["dynamic_axes"] = {INPUT: {0: "batch"}, OUTPUT: {0: "batch"}}
    # torch 2 has a second exporter, which needs a package that nothing else here does.
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    stream = io.BytesIO()
    with _quiet():
        warnings.filterwarnings("error", message="Exporting to ONNX opset version")
        try:
            torch.onnx.export(network, example, stream, opset_version=opset, **options)
        except (ValueError, UserWarning) as error:
            if "opset" not in str(error):
                raise
            raise UsageError(
                f"--opset {opset}: torch {torch.__version__} does not write it; leave it "
                f"at {DEFAULT_OPSET}"
            ) from error
    return stream.getvalue()


def described(content: bytes, classes: Optional[Sequence[str]]) -> bytes:
    """An ONNX file with what its user has to know as metadata: preprocessing, names of classes."""
    import onnx

    model = onnx.load_model_from_string(content)
    facts: Dict[str, Any] = {"preprocessing": "channels first, float32, each byte divided by 255"}
    add_facts(model, facts if classes is None else dict(facts, classes=list(classes)))
    return bytes(model.SerializeToString())


# --- checking --------------------------------------------------------------------------------


def torchscript_program(content: bytes) -> Program:
    """The network that a TorchScript file holds, as a function of arrays."""
    import torch

    with _quiet():
        loaded = torch.jit.load(io.BytesIO(content))

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return loaded(torch.from_numpy(images)).numpy()

    return run


def onnx_program(content: bytes) -> Optional[Program]:
    """The network that an ONNX file holds; None where onnxruntime is not installed.

    Raises:
        ZooError: the file is not valid, or onnx is not installed.
    """
    onnx = require_onnx()
    try:
        onnx.checker.check_model(content)
    except onnx.checker.ValidationError as error:
        raise ZooError(f"the exported file is not valid ONNX: {error}") from error
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def require_onnx() -> Any:
    """The onnx package, which files are written and checked with; ZooError where it is missing."""
    try:
        import onnx
    except ImportError as error:
        raise ZooError(
            f"--format onnx needs onnx, which can't be imported ({error}): "
            "pip install onnx onnxruntime"
        ) from None
    return onnx


def compare(
    network: ResidualAttentionNetwork, program: Program, batches: Sequence[np.ndarray]
) -> Difference:
    """Runs both on the same batches.

    Args:
        program: the exported network.
        batches: float32, (B, C, *spatial) each, from 0 to 1.
    """
    import torch

    with torch.no_grad():
        expected = np.concatenate([network(torch.from_numpy(one)).numpy() for one in batches])
    distance = np.abs(np.concatenate([program(one) for one in batches]) - expected)
    # numpy's max is NaN where one value is, so that a NaN anywhere is within no tolerance.
    return Difference(float(distance.max()), float(np.abs(expected).max()), len(expected))


# --- the program -----------------------------------------------------------------------------


def _batch_size(text: str) -> int:
    """The type of --batch_size; 0 stands for dynamic."""
    if text == DYNAMIC:
        return 0
    try:
        return int(number_in(int, 1)(text))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or {DYNAMIC}") from None


def _parser() -> Parser:
    parser = Parser(
        prog="residual_attention_net.export",
        description=(
            "Writes a network in float32, from images in [0, 1] to logits, checked against the "
            "original's outputs."
        ),
    )
    add_weight_flags(parser)
    parser.add_argument("--format", choices=FORMATS, required=True, help="what to write")
    parser.add_argument("--output_file", required=True, help="where; an older file is replaced")
    parser.add_argument(
        "--batch_size",
        type=_batch_size,
        default=DYNAMIC,
        metavar="N|" + DYNAMIC,
        help="images at a time; TorchScript takes any number",
    )
    parser.add_argument(
        "--opset",
        type=number_in(int, OLDEST_OPSET),
        default=DEFAULT_OPSET,
        help="version of ONNX's operators",
    )
    parser.add_argument(
        "--tolerance",
        type=number_in(float, 0),
        default=TOLERANCE,
        help="largest difference of a logit, relative to the largest logit where that is above 1",
    )
    parser.add_argument(
        "--dataset",
        type=dataset_name,
        choices=DATASETS,
        help="whose test images to check with (default: synthetic)",
    )
    parser.add_argument("--data_path", help="folder of the dataset")
    add_debug_flag(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Exports, compares, and only then writes the file; returns the exit code."""
    arguments = _parser().parse_args(argv)
    output = Path(arguments.output_file)
    _check_output(output, Path(arguments.pth_path))
    if arguments.format == "onnx":
        require_onnx()
    trained = open_trained(
        arguments.pth_path, arguments.network, device_type="cpu", precision_mode="O0"
    )
    for line in trained.told:
        note(line)
    network = trained.network.eval()
    batches = _batches(arguments, network)
    import torch

    example = torch.from_numpy(batches[0])
    program: Optional[Program]
    if arguments.format == "torchscript":
        content = as_torchscript(network, example)
        program = torchscript_program(content)
    else:
        content = as_onnx(network, example, arguments.batch_size == 0, arguments.opset)
        content = described(content, trained.classes)
        program = onnx_program(content)
    if program is None:
        print(
            "onnxruntime is not installed: the file is valid ONNX (onnx.checker), its outputs "
            "are not compared; pip install onnxruntime"
        )
    else:
        _require_close(compare(network, program, batches), arguments.tolerance)
    make_folder(output.parent, "--output_file")
    write_atomically(output, content)
    print(
        f"wrote {output}: {arguments.format}, {len(content) / 1e6:.1f} MB, "
        f"{_signature(arguments, network)}"
    )
    return 0


def _check_output(output: Path, weights: Path) -> None:
    if output.is_dir():
        raise UsageError(f"--output_file {output} is a folder; give a file's name")
    if output.exists() and weights.exists() and output.samefile(weights):
        raise UsageError(f"--output_file {output} is --pth_path too; give another name")


def _batches(arguments: argparse.Namespace, network: ResidualAttentionNetwork) -> List[np.ndarray]:
    """Different images in batches as the exported network takes them."""
    given = arguments.batch_size
    if given == 0:
        sizes: Tuple[int, ...] = DYNAMIC_SIZES
    else:
        sizes = (given,) * BATCHES_CHECKED
    name = arguments.dataset or ("synthetic" if network.spatial_dims == 2 else "synthetic_volumes")
    wanted = sum(sizes)
    samples, _ = dataset_samples(
        name, arguments.data_path, min(wanted, SAMPLES_READ), network.spec.input_size
    )
    images = np.moveaxis(samples.images, -1, 1).astype(np.float32) / 255.0
    images = images[np.arange(wanted) % len(images), : network.input_channels]
    ends = np.cumsum(sizes)
    return [np.ascontiguousarray(images[end - size : end]) for size, end in zip(sizes, ends)]


def _require_close(difference: Difference, tolerance: float) -> None:
    told = (
        f"largest difference {difference.largest:.3g} over {difference.images} images, "
        f"logits up to {difference.scale:.3g}"
    )
    if not difference.within(tolerance):
        raise ZooError(
            f"the exported network differs from the original: {told}; allowed {tolerance:g}; "
            "nothing was written, try another --opset or --format"
        )
    print(f"{told}; allowed {tolerance:g}", flush=True)


def _signature(arguments: argparse.Namespace, network: ResidualAttentionNetwork) -> str:
    any_size = arguments.batch_size == 0 or arguments.format == "torchscript"
    batch = "N" if any_size else str(arguments.batch_size)
    shape = " x ".join([batch] + [str(length) for length in network.input_shape])
    return f"{INPUT} float32 {shape} in [0, 1] to {OUTPUT} {batch} x {network.num_classes}"


if __name__ == "__main__":
    run_program(main)
