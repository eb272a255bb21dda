"""Networks as files of other programs: SavedModel, frozen graph, ONNX; each tried on an example."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence

import numpy as np

from common.core.errors import ZooError, first_line
from common.core.files import make_folder
from common.training.exports import OPSET, Arrays, Made, add_facts, write_exports
from common.training.flags import FORMATS, FROZEN, ONNX, SAVED_MODEL
from common.training.tensorflow.runtime import tf


@dataclasses.dataclass(frozen=True)
class Exported:
    """What of a graph is written.

    Attributes:
        inputs: placeholders of fixed shapes, by the names that the files have them at.
        outputs: tensors, by name.
        example: an array for each input, on which every file is tried.
        facts: what a user of the files has to know: class names, how images are prepared.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    example: Arrays
    facts: Mapping[str, Any]


def export_as_asked(network: Any, flags: Any) -> int:
    """Exports a network in memory by flags.ExportFlags, tells of it; returns 0.

    Args:
        network: has the `session` that it runs in, and `exported()`.
    """
    folder = Path(flags.output_path)
    print("\n".join(export(network.session, network.exported(), folder, flags.formats)), flush=True)
    return 0


def export(
    running: Any, network: Exported, folder: Path, formats: Sequence[str] = FORMATS
) -> List[str]:
    """Writes the files, tries each one, and tells of each how far its outputs are off.

    Nothing is in the folder before all of them have passed.

    Args:
        running: a session whose variables have their values.

    Raises:
        ZooError: a file gives something else than the session, a package is missing, or the
            folder can't be written.
    """
    make_folder(folder, "--output_path")
    if SAVED_MODEL in formats and (folder / SAVED_MODEL).exists():
        raise ZooError(f"{folder / SAVED_MODEL} is there already; give another --output_path")
    inputs, outputs = dict(network.inputs), dict(network.outputs)
    expected = running.run(outputs, {inputs[name]: network.example[name] for name in inputs})
    graph, inputs, outputs = _named(running, inputs, outputs)
    writers = {
        name: functools.partial(_WRITERS[name], graph, inputs, outputs, network.facts)
        for name in formats
    }
    return write_exports(folder, writers, network.example, expected, network.facts)


def _named(running: Any, inputs: Any, outputs: Any) -> Any:
    """The graph without variables, its inputs and outputs under the names asked for."""
    with running.graph.as_default():
        outputs = {name: tf.identity(value, name=f"out/{name}") for name, value in outputs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen = tf.graph_util.convert_variables_to_constants(
            running, running.graph.as_graph_def(), [value.op.name for value in outputs.values()]
        )
    with tf.Graph().as_default() as graph:
        named_inputs = {
            name: tf.placeholder(value.dtype, value.shape, name=name)
            for name, value in inputs.items()
        }
        found = tf.import_graph_def(
            frozen,
            {inputs[name].name: value for name, value in named_inputs.items()},
            [value.name for value in outputs.values()],
            name="network",
        )
        named_outputs = {name: tf.identity(value, name=name) for name, value in zip(outputs, found)}
    return graph, named_inputs, named_outputs


# Each writes a file into a folder.


def _saved_model(graph: Any, inputs: Any, outputs: Any, facts: Any, folder: Path) -> Made:
    path = folder / SAVED_MODEL
    with tf.Session(graph=graph) as session:
        tf.saved_model.simple_save(session, str(path), inputs, outputs)

    def run(example: Arrays) -> Arrays:
        with tf.Graph().as_default(), tf.Session() as session:
            loaded = tf.saved_model.load(session, ["serve"], str(path))
            signature = loaded.signature_def["serving_default"]
            fed = {signature.inputs[name].name: value for name, value in example.items()}
            fetched = {name: signature.outputs[name].name for name in outputs}
            found: Dict[str, np.ndarray] = session.run(fetched, fed)
            return found

    return path, run


def _frozen(graph: Any, inputs: Any, outputs: Any, facts: Any, folder: Path) -> Made:
    path = folder / "network.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())

    def run(example: Arrays) -> Arrays:
        definition = tf.GraphDef()
        definition.ParseFromString(path.read_bytes())
        with tf.Graph().as_default(), tf.Session() as session:
            tf.import_graph_def(definition, name="")
            fetched = {name: name + ":0" for name in outputs}
            found: Dict[str, np.ndarray] = session.run(
                fetched, {name + ":0": value for name, value in example.items()}
            )
            return found

    return path, run


def _onnx(graph: Any, inputs: Any, outputs: Any, facts: Any, folder: Path) -> Made:
    try:
        import onnxruntime
        from tf2onnx import convert
    except ImportError as error:
        raise ZooError(
            f"{ONNX} needs onnxruntime and tf2onnx ({first_line(error)}): pip install onnxruntime "
            "tf2onnx, or leave it out of --formats"
        ) from error
    path = folder / "network.onnx"
    model, _ = convert.from_graph_def(
        graph.as_graph_def(),
        name="network",
        input_names=[name + ":0" for name in inputs],
        output_names=[name + ":0" for name in outputs],
        opset=OPSET,
    )
    named = [*model.graph.input, *model.graph.output]
    names = {value.name: value.name.split(":")[0] for value in named}
    for value in named:
        value.name = names[value.name]
    for node in model.graph.node:
        for used in (node.input, node.output):
            used[:] = [names.get(name, name) for name in used]
    add_facts(model, facts)
    path.write_bytes(model.SerializeToString())

    def run(example: Arrays) -> Arrays:
        program = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return dict(zip(outputs, program.run(list(outputs), dict(example))))

    return path, run


_WRITERS: Dict[str, Callable[[Any, Any, Any, Any, Path], Made]] = {
    SAVED_MODEL: _saved_model,
    FROZEN: _frozen,
    ONNX: _onnx,
}
