"""Collects what the layers of a network give while its graph is built, in execution order.

    with recording(network) as found:
        loss = …network(images)…

afterwards `found` has the tensors by name: the attribute path of the layer, "encoder_cnn/0", and
"…@2" where a layer is used a second time. Code that is no layer says its own with `noted`.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

from common.runs.dump import numbered
from common.training.tensorflow.runtime import tf

Tensors = Dict[str, Any]


class _Recorder:
    """Tensors in the order they came, by unfinished names: numbers are added at the end."""

    def __init__(self, network: Any, left_out: Tuple[Type[Any], ...]) -> None:
        self.layers = list(_layers(network, ""))
        self.paths = {id(layer): path for layer, path in self.layers}
        self.left_out = left_out
        self.calls: List[Any] = []
        self.parts: List[str] = []
        self.kept: List[Tuple[str, Any]] = []

    def keep(self, path: str, value: Any) -> None:
        """Keeps a tensor, or every tensor of a structure, that is not kept yet."""
        if isinstance(value, (list, tuple)):
            fields = getattr(value, "_fields", None) or [str(n) for n in range(len(value))]
            for field, part in zip(fields, value):
                self.keep(_joined(path, field), part)
        elif tf.is_tensor(value) and not any(value is known for _, known in self.kept):
            self.kept.append((_joined(*self.parts, path) or "output", value))


_recorders: List[_Recorder] = []


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _layers(layer: Any, path: str) -> Iterator[Tuple[Any, str]]:
    """Every layer below one with its attribute path; a Sequential counts."""
    yield layer, path
    parts = (
        enumerate(layer.layers) if isinstance(layer, tf.keras.Sequential) else vars(layer).items()
    )
    for name, part in parts:
        if isinstance(part, tf.keras.layers.Layer) and not str(name).startswith("_"):
            yield from _layers(part, _joined(path, str(name)))


@contextlib.contextmanager
def recording(network: Any, left_out: Tuple[Type[Any], ...] = ()) -> Iterator[Tensors]:
    """Collects the outputs of a network's layers into the dictionary it yields.

    Keras has no hooks: for this while, the classes of the network's layers tell of calls.

    Args:
        network: a Keras layer or model; made, not yet called.
        left_out: types of layers whose outputs another noted tensor stands for.
    """
    found: Tensors = {}
    recorder = _Recorder(network, left_out)
    owners = {_owner_of_call(type(layer)) for layer, _ in recorder.layers}
    originals = {owner: vars(owner)["__call__"] for owner in owners}
    _recorders.append(recorder)
    for owner, original in originals.items():
        owner.__call__ = _telling(original)
    try:
        yield found
    finally:
        for owner, original in originals.items():
            owner.__call__ = original
        _recorders.remove(recorder)
        names = numbered([name for name, _ in recorder.kept])
        found.update(zip(names, (tensor for _, tensor in recorder.kept)))


# TensorFlow 1.15 would rewrite what a layer's call calls, and gets *arguments wrong.
@tf.autograph.experimental.do_not_convert
def noted(name: str, tensor: Any, of: Optional[Any] = None) -> Any:
    """Gives a tensor a name where someone is recording; returns it in any case.

    Args:
        of: the layer whose path the name begins with; None for the one that is being called.
    """
    if _recorders:
        recorder = _recorders[-1]
        layer = of if of is not None else (recorder.calls[-1] if recorder.calls else None)
        recorder.keep(_joined(recorder.paths.get(id(layer), ""), name), tensor)
    return tensor


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Names what is recorded inside "<name>/…": one of several passes through the same layers."""
    if not _recorders:
        yield
        return
    recorder = _recorders[-1]
    recorder.parts.append(name)
    try:
        yield
    finally:
        recorder.parts.pop()


def _owner_of_call(kind: Type[Any]) -> Any:
    return next(base for base in kind.__mro__ if "__call__" in vars(base))


def _telling(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(layer: Any, *positional: Any, **named: Any) -> Any:
        recorder = _recorders[-1] if _recorders else None
        inner = recorder is not None and recorder.calls and recorder.calls[-1] is layer
        if recorder is None or inner or id(layer) not in recorder.paths:
            return original(layer, *positional, **named)
        recorder.calls.append(layer)
        try:
            outputs = original(layer, *positional, **named)
        finally:
            recorder.calls.pop()
        if not isinstance(layer, recorder.left_out):
            recorder.keep(recorder.paths[id(layer)], outputs)
        return outputs

    return call
