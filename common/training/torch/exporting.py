"""Networks as files of other programs: ONNX and TorchScript; each tried on an example."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

import torch

from common.core.errors import ZooError, first_line
from common.core.files import make_folder
from common.training.exports import Arrays, Made, add_facts, write_exports
from common.training.flags import FORMATS_OF_TORCH, ONNX, TORCHSCRIPT

OPSET = 13  # the newest that torch 1.8 writes


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
        ZooError: a file gives something else than the network, a package is missing, or the
            folder can't be written.
    """
    make_folder(folder, "--output_path")
    with torch.no_grad():
        values = exported.network(*exported.tensors())
    expected = {name: value.numpy() for name, value in zip(exported.outputs, values)}
    writers = {name: functools.partial(_WRITERS[name], exported) for name in formats}
    with _quiet(), torch.no_grad():
        return write_exports(folder, writers, exported.inputs, expected, exported.facts)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of these formats, which are what was asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Each writes a file into a folder.


def _torchscript(exported: Exported, folder: Path) -> Made:
    path = folder / "network.pt"
    traced = torch.jit.trace(exported.network, exported.tensors(), check_trace=False)
    torch.jit.save(traced, str(path))

    def run(example: Arrays) -> Arrays:
        given = [torch.from_numpy(value) for value in example.values()]
        found = torch.jit.load(str(path))(*given)
        return {name: value.numpy() for name, value in zip(exported.outputs, found)}

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

    def run(example: Arrays) -> Arrays:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        program = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        return dict(zip(exported.outputs, program.run(list(exported.outputs), dict(example))))

    return path, run


_WRITERS: Dict[str, Callable[[Exported, Path], Made]] = {ONNX: _onnx, TORCHSCRIPT: _torchscript}
