"""First weights: Keras's distributions, drawn by seed and name alone.

TensorFlow's own draws depend on its version and on how many operations a graph has; these do not.
"""

from __future__ import annotations

import hashlib
from typing import Any, Tuple

import numpy as np

from common.training.tensorflow.named_weights import named_weights


def draw_initial_weights(session: Any, network: Any, seed: int) -> None:
    """Gives every weight of a network its first value."""
    session.run(
        [
            weight.assign(initial_value(path, tuple(weight.shape.as_list()), seed))
            for path, weight in named_weights(network).items()
        ]
    )


def initial_value(path: str, shape: Tuple[int, ...], seed: int) -> np.ndarray:
    """The first value of the weight at an attribute path, float32.

    Kernels and slots are Glorot uniform, recurrent kernels orthogonal, biases and offsets 0,
    scales 1: the defaults of Keras, which the references use. Running means are 0, running
    variances 1.
    """
    name = path.rsplit("/", 1)[-1]
    if name in ("bias", "beta", "moving_mean"):
        return np.zeros(shape, np.float32)
    if name in ("gamma", "moving_variance"):
        return np.ones(shape, np.float32)
    text = f"{seed}/{path}".encode()
    stream = np.random.RandomState(
        np.frombuffer(hashlib.sha256(text).digest(), dtype="<u4").astype(np.int64)
    )
    if name == "recurrent_kernel":
        return _orthogonal(stream, shape)
    return _glorot_uniform(stream, shape)


def _glorot_uniform(stream: np.random.RandomState, shape: Tuple[int, ...]) -> np.ndarray:
    """Uniform within sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010, equation 16)."""
    field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
    return stream.uniform(-limit, limit, shape).astype(np.float32)


def _orthogonal(stream: np.random.RandomState, shape: Tuple[int, ...]) -> np.ndarray:
    """Rows or columns, whichever are fewer, orthonormal (Saxe et al. 2014)."""
    rows, columns = shape
    square, upper = np.linalg.qr(stream.standard_normal((max(shape), min(shape))))
    square = square * np.sign(np.diag(upper))
    return (square if rows >= columns else square.T).astype(np.float32)
