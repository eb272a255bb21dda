"""Networks as files of other programs: ONNX and TorchScript; each tried on an example."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np
import torch

from common.core.errors import ZooError, first_line
from common.core.files import make_folder
from common.training.flags import FORMATS_OF_TORCH, ONNX, TORCHSCRIPT
from common.training.onnx_facts import add_facts

DESCRIPTION = "export.json"
OPSET = 13  # the newest that torch 1.8 writes
TOLERANCE = 1e-4

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Exported:
    """What is written.

    Attributes:
        network: takes the inputs in this order and returns the outputs as a tuple.
        inputs: an example of each, of the fixed shapes that the files have.
        outputs: names.
        facts: what a user of the files has to know: class names, how images are prepared.
    """

    network: torch.nn.Module
    inputs: Arrays
    outputs: Sequence[str]
    facts: Mapping[str, Any]

    def tensors(self) -> Tuple[torch.Tensor, ...]:
        """The example as tensors."""
        return tuple(torch.from_numpy(value) for value in self.inputs.values())


def export_as_asked(network: Any, flags: Any) -> int:
    """Exports what `exported()` of a network in memory says, by TorchExportFlags; returns 0."""
    lines = export(network.exported(), Path(flags.output_path), flags.formats)
    print("\n".join(lines), flush=True)
    return 0


def export(
    exported: Exported, folder: Path, formats: Sequence[str] = FORMATS_OF_TORCH
) -> List[str]:
    """Writes the files, tries each one, and tells of each how far its outputs are off.

    Nothing is in the folder before all of them have passed.

    Raises:
        ZooError: a file gives something else than the network (by more than TOLERANCE times the
            largest output, at least 1), a package is missing, or the folder can't be written.
    """
    make_folder(folder, "--output_path")
    with torch.no_grad():
        values = exported.network(*exported.tensors())
    expected = {name: value.numpy() for name, value in zip(exported.outputs, values)}
    lines = []
    with tempfile.TemporaryDirectory(prefix=".export", dir=str(folder)) as aside:
        for name in formats:
            with _quiet(), torch.no_grad():
                made, program = _WRITERS[name](exported, Path(aside))
            off, place = _difference(expected, program()), made.name
            if not off <= TOLERANCE:  # not a number is a difference too
                raise ZooError(
                    f"{place} gives other outputs than the network (off by {off:.2g} of the "
                    f"largest, {TOLERANCE:g} is allowed), so nothing is written"
                )
            lines.append(
                f"{name}: {folder / place}, off by {off:.1e} of the largest output at most"
            )
        described = {
            kind: {name: [value.dtype.name, list(value.shape)] for name, value in arrays.items()}
            for kind, arrays in (("inputs", exported.inputs), ("outputs", expected))
        }
        text = json.dumps({**described, **exported.facts}, indent=1, ensure_ascii=False)
        (Path(aside) / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        for path in Path(aside).iterdir():
            os.replace(str(path), str(folder / path.name))
    return [*lines, f"inputs, outputs and their meaning: {folder / DESCRIPTION}"]


def _difference(expected: Arrays, found: Sequence[Any]) -> float:
    """The largest difference of an output, over its own largest value or 1."""
    off = [
        np.max(np.abs(np.float64(other) - np.float64(value)))
        / max(1.0, np.max(np.abs(np.float64(value))))
        for value, other in zip(expected.values(), found)
    ]
    return float(np.max(off))  # numpy's, in which not a number wins


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of these formats, which are what was asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Each writes a file and returns it, with a function that computes the example by it alone.
Made = Tuple[Path, Callable[[], Sequence[Any]]]


def _torchscript(exported: Exported, folder: Path) -> Made:
    path = folder / "network.pt"
    traced = torch.jit.trace(exported.network, exported.tensors(), check_trace=False)
    torch.jit.save(traced, str(path))

    def run() -> Sequence[Any]:
        with torch.no_grad():
            found: Sequence[Any] = torch.jit.load(str(path))(*exported.tensors())
        return found

    return path, run


def _onnx(exported: Exported, folder: Path) -> Made:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ZooError(
            f"{ONNX} needs onnx and onnxruntime ({first_line(error)}): pip install onnx "
            "onnxruntime, or leave it out of --formats"
        ) from error
    path, stream = folder / "network.onnx", io.BytesIO()
    options: Dict[str, Any] = {
        "input_names": list(exported.inputs),
        "output_names": list(exported.outputs),
        "opset_version": OPSET,
    }
    # torch 2 has a second exporter, which needs a package that nothing else here does.
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    torch.onnx.export(exported.network, exported.tensors(), stream, **options)
    model = onnx.load_model_from_string(stream.getvalue())
    add_facts(model, exported.facts)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())

    def run() -> Sequence[Any]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        program = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        found: Sequence[Any] = program.run(list(exported.outputs), dict(exported.inputs))
        return found

    return path, run


_WRITERS: Dict[str, Callable[[Exported, Path], Made]] = {ONNX: _onnx, TORCHSCRIPT: _torchscript}
