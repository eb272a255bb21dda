"""One table between the frameworks: how Keras and torch name and lay out the same weights.

    Keras, by attribute path            torch, by name in the state_dict
    a/layer_with_weights-1/kernel       a.1.weight: (in, out) and (out, in),
                                        (height, width, in, out) and (out, in, height, width)
    a/bias, a/beta; a/gamma             a.bias; a.weight
    a/moving_mean, a/moving_variance    a.running_mean, a.running_var
    gru/kernel, /recurrent_kernel       gru.weight_ih, .weight_hh: (in, 3 D) of update, reset, new,
    gru/bias (2, 3 D)                   and (3 D, in) of reset, update, new; .bias_ih, .bias_hh

A convolution's transpose has its channels the other way round in both frameworks, so one rule does
for it too. What has another name has it in both, and the same layout.
"""

from __future__ import annotations

import re
from typing import Dict, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
_TO_TORCH = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_OF_RUNNING = {"running_mean": "moving_mean", "running_var": "moving_variance"}
_COUNTED = re.compile(r"layer(?:_with_weights)?-(\d+)")  # TensorFlow 1.15 wrote the short form too


def torch_place(path: str) -> str:
    """The place of a layer or weight in torch, of its attribute path in Keras: "mlp.1"."""
    return _COUNTED.sub(r"\1", path).replace("/", ".")


def keras_place(name: str) -> str:
    """The attribute path of a layer or weight in Keras, of its place in torch."""
    parts = name.split(".")
    return "/".join(f"layer_with_weights-{part}" if part.isdigit() else part for part in parts)


def to_torch(weights: Arrays) -> Dict[str, np.ndarray]:
    """Weights by attribute path as torch names and lays them out."""
    found: Dict[str, np.ndarray] = {}
    for path, value in weights.items():
        layer, _, leaf = path.rpartition("/")
        place = torch_place(layer) + "." if layer else ""
        if (f"{layer}/" if layer else "") + "recurrent_kernel" in weights:
            found.update({place + name: part for name, part in _gru_to_torch(leaf, value).items()})
        else:
            found[place + _TO_TORCH.get(leaf, leaf)] = _turned(value) if leaf == "kernel" else value
    return found


def from_torch(weights: Arrays) -> Dict[str, np.ndarray]:
    """Weights as a state_dict names them by attribute path, in Keras's layout."""
    found: Dict[str, np.ndarray] = {}
    for name, value in weights.items():
        layer, _, leaf = name.rpartition(".")
        place = keras_place(layer) + "/" if layer else ""
        beside = f"{layer}." if layer else ""
        scale = weights.get(beside + "weight")
        is_norm = scale is not None and scale.ndim == 1
        if leaf == "num_batches_tracked" or leaf == "bias_hh":
            continue
        if leaf == "bias_ih":
            both = [_reordered(weights[beside + one]) for one in ("bias_ih", "bias_hh")]
            found[place + "bias"] = np.stack(both)
        elif leaf in ("weight_ih", "weight_hh"):
            kind = "kernel" if leaf == "weight_ih" else "recurrent_kernel"
            found[place + kind] = _reordered(value).T
        elif leaf == "weight":
            found[place + ("gamma" if is_norm else "kernel")] = value if is_norm else _back(value)
        elif leaf == "bias":
            found[place + ("beta" if is_norm else "bias")] = value
        else:
            found[place + _OF_RUNNING.get(leaf, leaf)] = value
    return found


def _turned(kernel: np.ndarray) -> np.ndarray:
    """A kernel in torch's layout: the two last axes first, and swapped."""
    last = kernel.ndim - 1
    return kernel.transpose((last, last - 1, *range(last - 1)))


def _back(weight: np.ndarray) -> np.ndarray:
    return weight.transpose((*range(2, weight.ndim), 1, 0))


def _gru_to_torch(leaf: str, value: np.ndarray) -> Dict[str, np.ndarray]:
    if leaf == "bias":
        return {"bias_ih": _reordered(value[0]), "bias_hh": _reordered(value[1])}
    return {"weight_ih" if leaf == "kernel" else "weight_hh": _reordered(value.T)}


def _reordered(value: np.ndarray) -> np.ndarray:
    """The first and the second third of a GRU's gates swapped; its own inverse."""
    one, other, new = np.split(value, 3)
    return np.concatenate([other, one, new])
