"""Writes a network as ONNX or TorchScript: python -m residual_attention_net.export --help."""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import numpy as np

from common.core.command_line import number_in, run_program
from common.core.errors import UsageError
from common.core.files import make_folder, write_atomically
from common.core.flags import Program, path, unrecorded
from common.training.exports import OPSET, require_same
from common.training.flags import FORMATS_OF_TORCH, ONNX, TORCHSCRIPT
from residual_attention_net.data.samples import WeightFlags

if TYPE_CHECKING:
    from common.training.torch.exporting import Exported
    from residual_attention_net.network.model import ResidualAttentionNetwork

INPUT, OUTPUT = "images", "logits"
OLDEST_OPSET = 11  # which Resize with aligned corners came with
DYNAMIC, DYNAMIC_SIZES, BATCHES_CHECKED = "dynamic", (1, 3), 2


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

    format: str = unrecorded("what to write", choices=FORMATS_OF_TORCH, required=True)
    output_file: str = unrecorded("where; an older file is replaced", kind=path, required=True)
    batch_size: int = unrecorded(
        f"images at a time; TorchScript takes any number (default: {DYNAMIC})",
        0,
        kind=_batch_size,
        metavar="N|" + DYNAMIC,
    )
    opset: int = unrecorded("version of ONNX's operators", OPSET, kind=number_in(int, OLDEST_OPSET))


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
    # After the flags: torch takes seconds to import.
    import torch

    from common.training.torch import exporting
    from residual_attention_net.trained_network import open_trained

    if flags.format == ONNX:
        exporting.require_onnx()
    trained = open_trained(str(weights), flags.network, device_type="cpu", precision_mode="O0")
    network = trained.network.eval()
    batches = _batches(flags.batch_size, network)
    facts: Dict[str, Any] = {"preprocessing": "channels first, float32, each byte divided by 255"}
    if trained.classes is not None:
        facts["classes"] = list(trained.classes)
    exported = exporting.Exported(network, {INPUT: batches[0]}, (OUTPUT,), facts)
    with exporting.quiet(), torch.no_grad():
        if flags.format == ONNX:
            content = _as_onnx(exported, flags.batch_size == 0, flags.opset)
            program = exporting.onnx_program(content, (OUTPUT,))
        else:
            content = exporting.as_torchscript(exported)
            program = exporting.torchscript_program(content, (OUTPUT,))
        expected = [network(torch.from_numpy(batch)).numpy() for batch in batches]
        found = [program({INPUT: batch})[OUTPUT] for batch in batches]
    told = require_same(
        str(output), {OUTPUT: np.concatenate(expected)}, {OUTPUT: np.concatenate(found)}
    )
    make_folder(output.parent, "--output_file")
    write_atomically(output, content)
    any_size = flags.batch_size == 0 or flags.format == TORCHSCRIPT
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


def _as_onnx(exported: Exported, any_batch: bool, opset: int) -> bytes:
    """An ONNX file of `images` to `logits`; UsageError for an opset that this torch can't write."""
    import torch

    from common.training.torch.exporting import as_onnx, quiet

    with quiet():
        warnings.filterwarnings("error", message="Exporting to ONNX opset version")
        try:
            return as_onnx(exported, opset, any_batch)
        except (ValueError, UserWarning) as error:
            if "opset" not in str(error):
                raise
            raise UsageError(
                f"--opset {opset}: torch {torch.__version__} does not write it; leave it at {OPSET}"
            ) from error


if __name__ == "__main__":
    run_program(main)
