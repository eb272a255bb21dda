"""First weights: Keras's distributions, drawn by seed and name alone, for both frameworks.

Their own draws depend on their versions and on what was drawn before; these do not.
"""

from __future__ import annotations

import hashlib
from typing import Tuple

import numpy as np

GLOROT_UNIFORM, HE_NORMAL = "glorot_uniform", "he_normal"
_CUT_OFF = 2.0  # deviations
_DEVIATION_LEFT = 0.87962566103423978  # of a normal distribution that is cut off there


def initial_value(
    path: str, shape: Tuple[int, ...], seed: int, convolutions: str = GLOROT_UNIFORM
) -> np.ndarray:
    """The first value of the weight at an attribute path, float32.

    Kernels and slots are Glorot uniform, recurrent kernels orthogonal, biases and offsets 0,
    scales 1: the defaults of Keras. Running means are 0, running variances 1.

    Args:
        convolutions: what the kernels of convolutions (four dimensions) are drawn from,
            GLOROT_UNIFORM or HE_NORMAL: what a network's reference says of its own.
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
    if convolutions == HE_NORMAL and len(shape) == 4:
        return _he_normal(stream, shape)
    return _glorot_uniform(stream, shape)


def _glorot_uniform(stream: np.random.RandomState, shape: Tuple[int, ...]) -> np.ndarray:
    """Uniform within sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010, equation 16)."""
    field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
    return stream.uniform(-limit, limit, shape).astype(np.float32)


def _he_normal(stream: np.random.RandomState, shape: Tuple[int, ...]) -> np.ndarray:
    """Normal, of deviation sqrt(2 / inputs) after it is cut off at two of its own (He et al. 2015).

    As Keras draws it: what lies outside is drawn again.
    """
    values: np.ndarray = np.asarray(stream.standard_normal(shape))
    outside = np.abs(values) > _CUT_OFF
    while outside.any():
        values[outside] = stream.standard_normal(int(outside.sum()))
        outside = np.abs(values) > _CUT_OFF
    deviation = np.sqrt(2.0 / int(np.prod(shape[:-1]))) / _DEVIATION_LEFT
    return np.asarray(values * deviation, np.float32)


def _orthogonal(stream: np.random.RandomState, shape: Tuple[int, ...]) -> np.ndarray:
    """Rows or columns, whichever are fewer, orthonormal (Saxe et al. 2014)."""
    rows, columns = shape
    square, upper = np.linalg.qr(stream.standard_normal((max(shape), min(shape))))
    square = square * np.sign(np.diag(upper))
    return np.asarray(square if rows >= columns else square.T, np.float32)
