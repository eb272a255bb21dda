"""What a graph for the NPU may hold, and marks for the plugin's own kernels in it."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Optional, Sequence

from tensorflow.core.framework import attr_value_pb2

_KIND = "_npu_double_kind"
LOOPS: Dict[str, int] = {}  # the steps per run that operations of these names were given
ON_HOST_OR_FAILING = re.compile(
    r"(Eager)?PyFunc(Stateless)?|\w*Summary(V2)?|Decode\w+|String\w+|AsString|Substr|"
    r"(Static)?RegexReplace|Timestamp|Where|Unique(V2|WithCounts(V2)?)?"
)
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


def mark(operation: Any, kind: str) -> Any:
    """Marks an operation as one of the plugin's, and returns it."""
    operation._set_attr(_KIND, attr_value_pb2.AttrValue(s=kind.encode()))
    return operation


def kind_of(operation: Any) -> Optional[str]:
    """What an operation stands for; None for one of TensorFlow's own."""
    try:
        return operation.get_attr(_KIND).decode()
    except ValueError:
        return None


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
        not HOST.fullmatch(operation.type) and kind_of(operation) != "system"
        for operation in operations
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
        if ON_HOST_OR_FAILING.fullmatch(operation.type):
            found.append(f"{operation.type} {operation.name}")
        if _OPEN_BY_NATURE.fullmatch(operation.type):
            continue
        found += [
            f"shape {tensor.shape} of {tensor.name}"
            for tensor in operation.outputs
            if (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool)
            and tensor.name not in fed_names
            and not tensor.shape.is_fully_defined()
        ]
    return found
