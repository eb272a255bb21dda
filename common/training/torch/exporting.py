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

import numpy as np
import torch

from common.core.errors import ZooError, first_line
from common.core.files import make_folder
from common.training.exports import OPSET, Arrays, Made, Program, add_facts, write_exports
from common.training.flags import FORMATS_OF_TORCH, ONNX, TORCHSCRIPT


@dataclasses.dataclass(frozen=True)
class Exported:
    """What is written.

    Attributes:
        network: takes the inputs in this order and returns the outputs as a tuple, or its one.
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
    with quiet(), torch.no_grad():
        expected = _named(exported.outputs, exported.network(*exported.tensors()))
        writers = {name: functools.partial(_WRITERS[name], exported) for name in formats}
        return write_exports(folder, writers, exported.inputs, expected, exported.facts)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what torch says of these formats, which are what was asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _named(outputs: Sequence[str], found: Any) -> Dict[str, np.ndarray]:
    """What a network gave, a tuple or the one output, by name."""
    values = found if isinstance(found, tuple) else (found,)
    return {name: value.numpy() for name, value in zip(outputs, values)}


# --- TorchScript -----------------------------------------------------------------------------


def as_torchscript(exported: Exported) -> bytes:
    """A TorchScript file."""
    stream = io.BytesIO()
    # Its own check repeats the trace's input only.
    traced = torch.jit.trace(exported.network, exported.tensors(), check_trace=False)
    torch.jit.save(traced, stream)
    return stream.getvalue()


def torchscript_program(content: bytes, outputs: Sequence[str]) -> Program:
    """How to compute by a TorchScript file."""
    loaded = torch.jit.load(io.BytesIO(content))
    return lambda given: _named(outputs, loaded(*map(torch.from_numpy, given.values())))


def _torchscript(exported: Exported, folder: Path) -> Made:
    path = folder / "network.pt"
    path.write_bytes(as_torchscript(exported))
    return path, torchscript_program(path.read_bytes(), exported.outputs)


# --- ONNX ------------------------------------------------------------------------------------


def require_onnx() -> Tuple[Any, Any]:
    """The packages that files are written, checked and tried with; ZooError says how to install."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ZooError(
            f"{ONNX} needs onnx and onnxruntime ({first_line(error)}): pip install onnx "
            "onnxruntime, or take another format"
        ) from error
    return onnx, onnxruntime


def as_onnx(exported: Exported, opset: int = OPSET, any_batch: bool = False) -> bytes:
    """An ONNX file, whose metadata are the facts.

    Args:
        opset: the version of ONNX's operators. any_batch: of no fixed batch size.
    """
    onnx, _ = require_onnx()
    inputs, outputs = list(exported.inputs), list(exported.outputs)
    options: Dict[str, Any] = {"input_names": inputs, "output_names": outputs}
    if any_batch:
        options["dynamic_axes"] = {name: {0: "batch"} for name in inputs + outputs}
    # torch 2 has a second exporter, which needs a package that nothing else here does.
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    stream = io.BytesIO()
    torch.onnx.export(exported.network, exported.tensors(), stream, opset_version=opset, **options)
    model = onnx.load_model_from_string(stream.getvalue())
    add_facts(model, exported.facts)
    return bytes(model.SerializeToString())


def onnx_program(content: bytes, outputs: Sequence[str]) -> Program:
    """How to compute by an ONNX file; ZooError where the file is not valid."""
    onnx, onnxruntime = require_onnx()
    try:
        onnx.checker.check_model(content)
    except onnx.checker.ValidationError as error:
        raise ZooError(f"the exported file is not valid ONNX: {error}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda given: dict(zip(outputs, session.run(list(outputs), dict(given))))


def _onnx(exported: Exported, folder: Path) -> Made:
    path = folder / "network.onnx"
    path.write_bytes(as_onnx(exported))
    return path, onnx_program(path.read_bytes(), exported.outputs)


_WRITERS: Dict[str, Callable[[Exported, Path], Made]] = {ONNX: _onnx, TORCHSCRIPT: _torchscript}
