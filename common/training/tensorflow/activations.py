"""Collects what the layers of a network give while its graph is built, in execution order.

    with recording(network) as found:
        loss = …network(images)…

afterwards `found` has the tensors by name: the attribute path of the layer, "encoder_cnn/0", and
"…@2" where a layer is used a second time. Code that is no layer says its own with `noted`.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Dict, Iterator, List, Tuple, Type

from common.training import activations as shared
from common.training.activations import Recorder, part, recorders
from common.training.tensorflow.runtime import tf

__all__ = ["noted", "part", "recording"]
Tensors = Dict[str, Any]
# TensorFlow 1.15 would rewrite what a layer's call calls, and gets *arguments wrong.
noted = tf.autograph.experimental.do_not_convert(shared.noted)


def _layers(layer: Any, path: str) -> Iterator[Tuple[Any, str]]:
    """Every layer below one with its attribute path; a Sequential counts."""
    yield layer, path
    parts = (
        enumerate(layer.layers) if isinstance(layer, tf.keras.Sequential) else vars(layer).items()
    )
    for name, inner in parts:
        if isinstance(inner, tf.keras.layers.Layer) and not str(name).startswith("_"):
            yield from _layers(inner, f"{path}/{name}" if path else str(name))


@contextlib.contextmanager
def recording(network: Any, left_out: Tuple[Type[Any], ...] = ()) -> Iterator[Tensors]:
    """Collects the outputs of a network's layers into the dictionary it yields.

    Keras has no hooks: for this while, the classes of the network's layers tell of calls.

    Args:
        network: a Keras layer or model; made, not yet called.
        left_out: types of layers whose outputs another noted tensor stands for.
    """
    found: Tensors = {}
    seen: List[Any] = []

    def new(value: Any) -> bool:
        if not tf.is_tensor(value) or any(value is known for known in seen):
            return False
        seen.append(value)
        return True

    layers = list(_layers(network, ""))
    recorder = Recorder({id(layer): path for layer, path in layers}, "/", new)
    owners = {_owner_of_call(type(layer)) for layer, _ in layers}
    originals = {owner: vars(owner)["__call__"] for owner in owners}
    recorders.append(recorder)
    for owner, original in originals.items():
        owner.__call__ = _telling(original, left_out)
    try:
        yield found
    finally:
        for owner, original in originals.items():
            owner.__call__ = original
        recorders.remove(recorder)
        found.update(recorder.found())


def _owner_of_call(kind: Type[Any]) -> Any:
    return next(base for base in kind.__mro__ if "__call__" in vars(base))


def _telling(original: Callable[..., Any], left_out: Tuple[Type[Any], ...]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(layer: Any, *positional: Any, **named: Any) -> Any:
        recorder = recorders[-1] if recorders else None
        inner = recorder is not None and recorder.calls and recorder.calls[-1] is layer
        if recorder is None or inner or id(layer) not in recorder.paths:
            return original(layer, *positional, **named)
        recorder.calls.append(layer)
        try:
            outputs = original(layer, *positional, **named)
        finally:
            recorder.calls.pop()
        if not isinstance(layer, left_out):
            recorder.keep(recorder.paths[id(layer)], outputs)
        return outputs

    return call
