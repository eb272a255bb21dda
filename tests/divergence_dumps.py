"""Dumps for tests: a small network computed with numpy, with an error planted where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from common.runs.dump import Subject, Tensor, write_dump

LAYERS = ("first", "second", "third", "fourth")
SAMPLES, WIDTH, RATE = 8, 6, 0.1
SUBJECT: Dict[str, Any] = {
    "model": "toy",
    "task": "regression",
    "network": {"name": "toy", "width": WIDTH},
    "framework": "numpy",
    "device": "cpu (a processor)",
    "precision": {"mode": "O0", "arithmetic": "float32", "loss_scale": "none"},
    "arithmetic": "float32",
    "step": 3,
    "world_size": 1,
}


def weights() -> Dict[str, np.ndarray]:
    stream = np.random.RandomState(0)
    return {name: stream.randn(WIDTH, WIDTH) / 2 for name in LAYERS}


@np.errstate(invalid="ignore")
def step(
    dtype: str = "float64",
    planted: Optional[str] = None,
    size: float = 1e-2,
    poison: Optional[Tuple[str, float]] = None,
) -> List[Tensor]:
    """The tensors of a step of a linear network, in execution order.

    Args:
        planted: the layer that computes with a weight that is off by `size`, relatively.
        poison: a layer, and what one element of its output is replaced by.
    """
    own = {name: value.astype(dtype) for name, value in weights().items()}
    used = {name: value * (1 + size) if name == planted else value for name, value in own.items()}
    hidden = np.random.RandomState(1).randn(SAMPLES, WIDTH).astype(dtype)
    inputs, activations = [], []
    for name in LAYERS:
        inputs.append(hidden)
        hidden = hidden.dot(used[name])
        if poison and poison[0] == name:
            hidden[0, 0] = poison[1]
        activations.append(Tensor(name, "activation", hidden.copy()))
    loss = Tensor("loss", "loss", np.asarray(np.mean(hidden**2)))
    upstream = 2 * hidden / hidden.size
    gradients: Dict[str, np.ndarray] = {}
    for name, given in reversed(list(zip(LAYERS, inputs))):
        gradients[name] = given.T.dot(upstream)
        upstream = upstream.dot(used[name].T)
    return [
        *activations,
        loss,
        *(Tensor(name, "gradient", value) for name, value in gradients.items()),
        *(Tensor(name, "weight", own[name] - RATE * gradients[name]) for name in LAYERS),
    ]


def inputs(seed: int = 1, **arrays: np.ndarray) -> List[Tensor]:
    """What the step begins with; weights can be given."""
    batch = np.random.RandomState(seed).randn(SAMPLES, WIDTH)
    return [
        Tensor("images", "batch", batch),
        *(
            Tensor(name, "weight before", arrays.get(name, value))
            for name, value in weights().items()
        ),
        Tensor("learning_rate", "setting", np.asarray(RATE)),
    ]


def write(
    folder: Path, tensors: List[Tensor], given: Optional[List[Tensor]] = None, **subject: Any
) -> Path:
    """Writes a dump of a run; returns the run's folder."""
    write_dump(
        folder, Subject(**dict(SUBJECT, **subject)), inputs() if given is None else given, tensors
    )
    return folder
