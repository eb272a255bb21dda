"""What the machine could do at best by TensorFlow: rates of convolutions, memory bandwidth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Tuple

import numpy as np

from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.runtime import tf

RATE_CHANNELS, RATE_SIZE, RATE_BATCH = 256, 8, 32
COPY_ELEMENTS = 1 << 25
PASSES = 3  # forward, gradient of the input, gradient of the weights
OPTIMIZER_PASSES = 7  # read weight, gradient and two moments; write weight and two moments
BYTES_PER_NUMBER = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class Needs:
    """What one training image costs at least.

    Attributes:
        operations: floating-point operations of its convolutions; the rest is under 2 %.
        activations: numbers that these layers read and write, each layer on its own.
        weights: of these layers.
    """

    operations: float
    activations: float
    weights: float

    def bytes_per_image(self, kind: str, batch_size: int) -> float:
        """Bytes moved per image: activations in `kind`, weights and optimizer in float32."""
        return (
            self.activations * BYTES_PER_NUMBER[kind]
            + self.weights * OPTIMIZER_PASSES * 4 / batch_size
        )


class Machine:
    """Rates of the machine, by TensorFlow and, where it is installed, by torch."""

    def __init__(
        self,
        device: Any,
        precision: Any,
        kinds: Tuple[str, ...],
        by_torch: Callable[[], Dict[str, float]],
    ) -> None:
        self._by_torch = by_torch
        self._session = tf_runtime.open_session(device, precision)
        self._convolutions = {kind: self._convolution(kind) for kind in kinds}
        self._session.run(tf.global_variables_initializer())

    def _convolution(self, kind: str) -> Any:
        dtype = tf.float32 if kind == "fp32" else tf.bfloat16
        random = np.random.RandomState(0)
        images = tf.Variable(
            tf.cast(
                tf.constant(
                    random.standard_normal((RATE_BATCH, RATE_SIZE, RATE_SIZE, RATE_CHANNELS)),
                    tf.float32,
                ),
                dtype,
            )
        )
        kernel = tf.Variable(
            tf.cast(
                tf.constant(
                    random.standard_normal((3, 3, RATE_CHANNELS, RATE_CHANNELS)), tf.float32
                ),
                dtype,
            )
        )
        return tf.nn.conv2d(images, kernel, strides=[1, 1, 1, 1], padding="SAME").op

    def rates(self) -> Dict[str, float]:
        """Operations a second of a 3x3 convolution, 256 channels at 8x8, forward.

        The faster framework counts: a machine is no slower because of TensorFlow 1.15's kernels.
        """
        operations = 2.0 * RATE_BATCH * RATE_SIZE**2 * 9 * RATE_CHANNELS**2
        others = self._by_torch()
        return {
            kind: max(others.get(kind, 0.0), operations / self._median_seconds(convolution))
            for kind, convolution in self._convolutions.items()
        }

    def _median_seconds(self, operation: Any, repeats: int = 15) -> float:
        times = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            self._session.run(operation)
            times.append(time.perf_counter() - began)
        return sorted(times[1:])[repeats // 2]


def copy_bandwidth(repeats: int = 7) -> float:
    """Bytes a second of copying 128 MiB by numpy, read and written bytes both counted."""
    source = np.ones(COPY_ELEMENTS, np.float32)
    target = np.empty_like(source)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - began)
    return 2.0 * source.nbytes / sorted(times[1:])[repeats // 2]
