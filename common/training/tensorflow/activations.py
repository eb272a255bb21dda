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
        self.paths = dict(_paths(network, ""))
        self.left_out = left_out
        self.calls: List[Any] = []
        self.parts: List[str] = []
        self._kept: List[Tuple[str, Any]] = []
        self._known: List[Any] = []

    def keep(self, path: str, name: str, value: Any) -> None:
        """Keeps a tensor, or every tensor of a structure, that is not kept yet."""
        if isinstance(value, (list, tuple)):
            fields = getattr(value, "_fields", None) or [str(n) for n in range(len(value))]
            for field, part in zip(fields, value):
                self.keep(path, _joined(name, field), part)
        elif tf.is_tensor(value) and not any(value is known for known in self._known):
            self._known.append(value)
            self._kept.append((_joined(*self.parts, path, name) or "output", value))

    def finished(self) -> Tensors:
        """The tensors by name; names that came several times are numbered from 1."""
        names = numbered([name for name, _ in self._kept])
        return {name: tensor for name, (_, tensor) in zip(names, self._kept)}


_recorders: List[_Recorder] = []


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _paths(layer: Any, path: str) -> Iterator[Tuple[int, str]]:
    """The identity of every layer below one with its attribute path; a Sequential counts."""
    yield id(layer), path
    parts = (
        enumerate(layer.layers) if isinstance(layer, tf.keras.Sequential) else vars(layer).items()
    )
    for name, part in parts:
        if isinstance(part, tf.keras.layers.Layer) and not str(name).startswith("_"):
            yield from _paths(part, _joined(path, str(name)))


def _all_layers(layer: Any) -> Iterator[Any]:
    yield layer
    parts = (
        layer.layers
        if isinstance(layer, tf.keras.Sequential)
        else [part for name, part in vars(layer).items() if not name.startswith("_")]
    )
    for part in parts:
        if isinstance(part, tf.keras.layers.Layer):
            yield from _all_layers(part)


@contextlib.contextmanager
def recording(network: Any, left_out: Tuple[Type[Any], ...] = ()) -> Iterator[Tensors]:
    """Collects the outputs of a network's layers into the dictionary it yields.

    Args:
        network: a Keras layer or model; made, not yet called.
        left_out: types of layers whose outputs another noted tensor stands for.
    """
    found: Tensors = {}
    recorder = _Recorder(network, left_out)
    _recorders.append(recorder)
    try:
        with _listening(network):
            yield found
    finally:
        _recorders.remove(recorder)
        found.update(recorder.finished())


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
        recorder.keep(recorder.paths.get(id(layer), ""), name, tensor)
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


@contextlib.contextmanager
def _listening(network: Any) -> Iterator[None]:
    """Keras has no hooks: for this while, the classes of the network's layers tell of calls."""
    owners = {_owner_of_call(type(layer)) for layer in _all_layers(network)}
    originals = {owner: vars(owner)["__call__"] for owner in owners}
    for owner, original in originals.items():
        owner.__call__ = _telling(original)
    try:
        yield
    finally:
        for owner, original in originals.items():
            owner.__call__ = original


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
            recorder.keep(recorder.paths[id(layer)], "", outputs)
        return outputs

    return call
