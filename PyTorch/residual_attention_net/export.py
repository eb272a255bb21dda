"""Writes a network as ONNX or TorchScript: python -m residual_attention_net.export --help."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

from common.core.command_line import number_in, run_program
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder, write_atomically
from common.core.flags import Program, not_negative, path, unrecorded
from common.data import dataset_name
from common.training.onnx_facts import add_facts
from residual_attention_net.data.samples import WeightFlags, dataset_samples
from residual_attention_net.options import DATASETS

if TYPE_CHECKING:
    import torch

    from residual_attention_net.network.model import ResidualAttentionNetwork

FORMATS = ("onnx", "torchscript")
INPUT, OUTPUT = "images", "logits"
# Resize with aligned corners came with 11; 13 is the newest that torch 1.8 writes.
OLDEST_OPSET, DEFAULT_OPSET = 11, 13
TOLERANCE = 1e-4
DYNAMIC, DYNAMIC_SIZES, BATCHES_CHECKED = "dynamic", (1, 3), 2
SAMPLES_READ = 16

Exported = Callable[[np.ndarray], np.ndarray]


def _batch_size(text: str) -> int:
    """The type of --batch_size; 0 stands for dynamic."""
    if text == DYNAMIC:
        return 0
    try:
        return int(number_in(int, 1)(text))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or {DYNAMIC}") from None


@dataclasses.dataclass(frozen=True)
class ExportFlags(WeightFlags):
    """Writes a network in float32, images in [0, 1] to logits, checked against the original."""

    format: str = unrecorded("what to write", choices=FORMATS, required=True)
    output_file: str = unrecorded("where; an older file is replaced", kind=path, required=True)
    batch_size: int = unrecorded(
        f"images at a time; TorchScript takes any number (default: {DYNAMIC})",
        0,
        kind=_batch_size,
        metavar="N|" + DYNAMIC,
    )
    opset: int = unrecorded(
        "version of ONNX's operators", DEFAULT_OPSET, kind=number_in(int, OLDEST_OPSET)
    )
    tolerance: float = unrecorded(
        "largest difference of a logit, relative to the largest logit where that is above 1",
        TOLERANCE,
        kind=not_negative,
    )
    dataset: Optional[str] = unrecorded(
        "whose test images to check with (default: synthetic)", kind=dataset_name, choices=DATASETS
    )
    data_path: Optional[str] = unrecorded("folder of the dataset", kind=path)


PROGRAM = Program("residual_attention_net.export", ExportFlags)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Exports, compares, and only then writes the file; returns the exit code."""
    flags = PROGRAM.read(argv)
    flags.check_weights()
    output, weights = Path(flags.output_file), Path(str(flags.pth_path))
    if output.is_dir():
        raise UsageError(f"--output_file {output} is a folder; give a file's name")
    if output.exists() and weights.exists() and output.samefile(weights):
        raise UsageError(f"--output_file {output} is --pth_path too; give another name")
    if flags.format == "onnx":
        require_onnx()
    # After the flags: torch takes seconds to import.
    import torch

    from residual_attention_net.trained_network import open_trained

    trained = open_trained(str(weights), flags.network, device_type="cpu", precision_mode="O0")
    network = trained.network.eval()
    batches = _batches(flags, network)
    example = torch.from_numpy(batches[0])
    exported: Optional[Exported]
    if flags.format == "torchscript":
        content = as_torchscript(network, example)
        exported = torchscript_program(content)
    else:
        content = as_onnx(network, example, flags.batch_size == 0, flags.opset, trained.classes)
        exported = onnx_program(content)
    if exported is None:
        print(
            "onnxruntime is not installed: the file is valid ONNX (onnx.checker), its outputs "
            "are not compared; pip install onnxruntime"
        )
    else:
        print(require_same(network, exported, batches, flags.tolerance), flush=True)
    make_folder(output.parent, "--output_file")
    write_atomically(output, content)
    any_size = flags.batch_size == 0 or flags.format == "torchscript"
    batch = "N" if any_size else str(flags.batch_size)
    shape = " x ".join([batch, *map(str, network.input_shape)])
    print(
        f"wrote {output}: {flags.format}, {len(content) / 1e6:.1f} MB, "
        f"{INPUT} float32 {shape} in [0, 1] to {OUTPUT} {batch} x {network.num_classes}"
    )
    return 0


def _batches(flags: ExportFlags, network: ResidualAttentionNetwork) -> List[np.ndarray]:
    """Different images in batches as the exported network takes them."""
    sizes = DYNAMIC_SIZES if flags.batch_size == 0 else (flags.batch_size,) * BATCHES_CHECKED
    name = flags.dataset or ("synthetic" if network.spatial_dims == 2 else "synthetic_volumes")
    count, size = min(sum(sizes), SAMPLES_READ), network.spec.input_size
    samples, _ = dataset_samples(name, flags.data_path, count, size)
    images = np.moveaxis(samples.images, -1, 1).astype(np.float32) / 255.0
    images = images[np.arange(sum(sizes)) % count, : network.input_channels]
    ends = np.cumsum(sizes)
    return [np.ascontiguousarray(images[end - size : end]) for size, end in zip(sizes, ends)]


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
        # Its own check repeats the trace's input only; require_same() uses other batches.
        torch.jit.save(torch.jit.trace(network, example, check_trace=False), stream)
    return stream.getvalue()


def as_onnx(
    network: ResidualAttentionNetwork,
    example: torch.Tensor,
    dynamic: bool,
    opset: int = DEFAULT_OPSET,
    classes: Optional[Sequence[str]] = None,
) -> bytes:
    """The network, in evaluation mode, as an ONNX file: `images` to `logits`.

    Its metadata say what its user has to know: preprocessing, names of classes.

    Args:
        example: a batch; its size is the file's, unless `dynamic`.
        dynamic: any batch size.
        opset: the version of ONNX's operators.

    Raises:
        UsageError: an opset that this torch can't write.
    """
    import onnx
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
    model = onnx.load_model_from_string(stream.getvalue())
    facts: Dict[str, Any] = {"preprocessing": "channels first, float32, each byte divided by 255"}
    add_facts(model, facts if classes is None else dict(facts, classes=list(classes)))
    return bytes(model.SerializeToString())


# --- checking --------------------------------------------------------------------------------


def torchscript_program(content: bytes) -> Exported:
    """The network that a TorchScript file holds, as a function of arrays."""
    import torch

    with _quiet():
        loaded = torch.jit.load(io.BytesIO(content))

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return loaded(torch.from_numpy(images)).numpy()

    return run


def onnx_program(content: bytes) -> Optional[Exported]:
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


def require_same(
    network: ResidualAttentionNetwork,
    exported: Exported,
    batches: Sequence[np.ndarray],
    tolerance: float = TOLERANCE,
) -> str:
    """Runs both on the same batches; returns how far they are apart, in words.

    Args:
        batches: float32, (B, C, *spatial) each, from 0 to 1.

    Raises:
        ZooError: a logit differs by more than the tolerance, times the largest logit above 1.
    """
    import torch

    with torch.no_grad():
        expected = np.concatenate([network(torch.from_numpy(one)).numpy() for one in batches])
    # numpy's max is NaN where one value is, so that a NaN anywhere is within no tolerance.
    largest = float(np.abs(np.concatenate([exported(one) for one in batches]) - expected).max())
    scale = float(np.abs(expected).max())
    told = (
        f"largest difference {largest:.3g} over {len(expected)} images, logits up to {scale:.3g}"
        f"; allowed {tolerance:g}"
    )
    if not largest <= tolerance * max(1.0, scale):
        raise ZooError(
            f"the exported network differs from the original: {told}; nothing was written, try "
            "another --opset or --format"
        )
    return told


if __name__ == "__main__":
    run_program(main)
