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

from common.core.command_line import number_in, run_program
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder, write_atomically
from common.core.flags import Program, path, unrecorded
from common.training.exports import add_facts, require_same
from residual_attention_net.data.samples import WeightFlags

if TYPE_CHECKING:
    import torch

    from residual_attention_net.network.model import ResidualAttentionNetwork

FORMATS = ("onnx", "torchscript")
INPUT, OUTPUT = "images", "logits"
# Resize with aligned corners came with 11; 13 is the newest that torch 1.8 writes.
OLDEST_OPSET, DEFAULT_OPSET = 11, 13
DYNAMIC, DYNAMIC_SIZES, BATCHES_CHECKED = "dynamic", (1, 3), 2

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
        _require_onnx()
    # After the flags: torch takes seconds to import.
    import torch

    from residual_attention_net.trained_network import open_trained

    trained = open_trained(str(weights), flags.network, device_type="cpu", precision_mode="O0")
    network = trained.network.eval()
    batches = _batches(flags.batch_size, network)
    example = torch.from_numpy(batches[0])
    if flags.format == "torchscript":
        content = as_torchscript(network, example)
        exported = torchscript_program(content)
    else:
        content = as_onnx(network, example, flags.batch_size == 0, flags.opset, trained.classes)
        exported = onnx_program(content)
    with torch.no_grad():
        expected = [network(torch.from_numpy(batch)).numpy() for batch in batches]
    found = [exported(batch) for batch in batches]
    told = require_same(
        str(output), {OUTPUT: np.concatenate(expected)}, {OUTPUT: np.concatenate(found)}
    )
    make_folder(output.parent, "--output_file")
    write_atomically(output, content)
    any_size = flags.batch_size == 0 or flags.format == "torchscript"
    batch = "N" if any_size else str(flags.batch_size)
    shape = " x ".join([batch, *map(str, network.input_shape)])
    print(
        f"wrote {output}: {flags.format}, {len(content) / 1e6:.1f} MB, {INPUT} float32 {shape} in "
        f"[0, 1] to {OUTPUT} {batch} x {network.num_classes}, {told}"
    )
    return 0


def _batches(batch_size: int, network: ResidualAttentionNetwork) -> List[np.ndarray]:
    """Different inputs in batches as the exported network takes them."""
    sizes = DYNAMIC_SIZES if batch_size == 0 else (batch_size,) * BATCHES_CHECKED
    stream = np.random.RandomState(0)
    return [stream.random_sample((size, *network.input_shape)).astype("f4") for size in sizes]


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
        # Its own check repeats the trace's input only.
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


def onnx_program(content: bytes) -> Exported:
    """The network that an ONNX file holds; ZooError where the file is not valid."""
    onnx, onnxruntime = _require_onnx()
    try:
        onnx.checker.check_model(content)
    except onnx.checker.ValidationError as error:
        raise ZooError(f"the exported file is not valid ONNX: {error}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def _require_onnx() -> Tuple[Any, Any]:
    """The packages that files are written, checked and tried with; ZooError says how to install."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ZooError(
            f"--format onnx needs onnx and onnxruntime ({error}): pip install onnx onnxruntime"
        ) from None
    return onnx, onnxruntime


if __name__ == "__main__":
    run_program(main)
