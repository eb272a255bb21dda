"""What a graph for the NPU may hold (1.10, "Graph rules")."""

from __future__ import annotations

import re
from typing import Any, Iterable, List, Sequence, Set

import tensorflow.compat.v1 as tf

from npu_bridge.contract.marks import kind_of

ON_HOST_OR_FAILING = re.compile(
    r"(Eager)?PyFunc(Stateless)?|\w*Summary(V2)?|Decode\w+|String\w+|AsString|Substr|"
    r"(Static)?RegexReplace|Timestamp"
)
DATA_DEPENDENT = ("Where", "Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2")
# Data pipelines and checkpoints are the host's own: nothing before them is the NPU's.
HOST = re.compile(
    r"\w*Iterator\w*|\w*Dataset\w*|SaveV2|RestoreV2|MergeV2Checkpoints|"
    r"ShardedFilename|Const|NoOp|VarHandleOp|VariableV2|Placeholder|"
    r"VarIsInitializedOp|IsVariableInitialized"
)
_PIPELINE = re.compile(r"\w*Iterator\w*|\w*Dataset\w*")
_CHECKPOINT = ("SaveV2", "RestoreV2", "MergeV2Checkpoints")
# TensorFlow leaves these open for reasons of its own: they follow from shapes, or hold nothing.
_OPEN_BY_NATURE = re.compile(r"BroadcastGradientArgs|FusedBatchNormV3|TensorArray\w*|Stack\w*")
_NUMERIC = (
    tf.float16,
    tf.float32,
    tf.float64,
    tf.bfloat16,
    tf.int8,
    tf.int16,
    tf.int32,
    tf.int64,
    tf.uint8,
    tf.uint16,
    tf.bool,
)


def pruned(operations: Iterable[Any], fed: Iterable[Any] = ()) -> List[Any]:
    """The operations that have to run for the given ones; what precedes iterators is left out."""
    fed_names = {tensor.name for tensor in fed}
    found, open_ones = {}, list(operations)
    while open_ones:
        operation = open_ones.pop()
        if operation.name in found:
            continue
        found[operation.name] = operation
        if operation.type.startswith("IteratorGetNext"):
            open_ones += [tensor.op for tensor in operation.inputs]  # which kind of iterator
        elif not _PIPELINE.fullmatch(operation.type):
            open_ones += [tensor.op for tensor in operation.inputs if tensor.name not in fed_names]
            open_ones += operation.control_inputs
    return list(found.values())


def is_for_the_npu(operations: Sequence[Any]) -> bool:
    """Whether anything of it is more than the host's own work."""
    return any(
        not HOST.fullmatch(operation.type)
        for operation in operations
        if kind_of(operation) not in ("initialize_system", "shutdown_system")
    )


def offences(operations: Sequence[Any], fed: Iterable[Any]) -> List[str]:
    """What the NPU can't compile without mix_compile_mode or dynamic shapes, each with its name."""
    if any(operation.type in _CHECKPOINT for operation in operations):
        return []
    fed_names = {tensor.name for tensor in fed}
    found: List[str] = []
    for operation in operations:
        if kind_of(operation) is not None:
            continue
        found += [f"{name} {operation.name}" for name in sorted(_unfit(operation))]
        if _OPEN_BY_NATURE.fullmatch(operation.type):
            continue
        found += [
            f"shape {tensor.shape} of {tensor.name}"
            for tensor in operation.outputs
            if tensor.dtype.base_dtype in _NUMERIC
            and tensor.name not in fed_names
            and not tensor.shape.is_fully_defined()
        ]
    return found


def _unfit(operation: Any) -> Set[str]:
    types = {operation.type} | _types_in_functions(operation)
    return {name for name in types if ON_HOST_OR_FAILING.fullmatch(name) or name in DATA_DEPENDENT}


def _types_in_functions(operation: Any) -> Set[str]:
    """The types of operations in the bodies that a condition, loop or call has."""
    if _PIPELINE.fullmatch(operation.type):
        return set()
    library = None
    open_ones, seen, types = _functions_of(operation.node_def.attr), set(), set()
    while open_ones:
        name = open_ones.pop()
        if name in seen:
            continue
        seen.add(name)
        if library is None:
            definitions = operation.graph.as_graph_def().library.function
            library = {function.signature.name: function for function in definitions}
        for node in library[name].node_def if name in library else ():
            types.add(node.op)
            open_ones += _functions_of(node.attr)
    return types


def _functions_of(attributes: Any) -> List[str]:
    found = [value.func.name for value in attributes.values() if value.HasField("func")]
    for value in attributes.values():
        found += [function.name for function in value.list.func]
    return found
