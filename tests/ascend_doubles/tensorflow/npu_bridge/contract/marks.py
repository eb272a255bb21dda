"""Marks on operations of a graph that stand for the plugin's own kernels."""

from __future__ import annotations

from typing import Any, Dict, Optional

from tensorflow.core.framework import attr_value_pb2

_KIND = "_npu_double_kind"


def mark(operation: Any, kind: str) -> Any:
    """Marks an operation as one of the plugin's, and returns it."""
    operation._set_attr(_KIND, attr_value_pb2.AttrValue(s=kind.encode()))
    return operation


def set_number(operation: Any, number: int) -> None:
    """Gives a marked operation a number, also after a session has run it."""
    _numbers(operation.graph)[operation.name] = number


def _numbers(graph: Any) -> Dict[str, int]:
    if not hasattr(graph, "_npu_double_numbers"):
        graph._npu_double_numbers = {}
    return graph._npu_double_numbers


def kind_of(operation: Any) -> Optional[str]:
    """What an operation stands for; None for one of TensorFlow's own."""
    try:
        return operation.get_attr(_KIND).decode()
    except ValueError:
        return None


def number_of(operation: Any) -> int:
    """The number that a marked operation was given."""
    return _numbers(operation.graph).get(operation.name, 1)
