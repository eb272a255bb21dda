"""What the machine could do at best by TensorFlow: rates of convolutions, memory bandwidth."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Tuple

import numpy as np

from benchmarks.shared.needs import COPY_ELEMENTS
from common.machine.precision import resolve
from common.machine.ranks import Place
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.runtime import tf

RATE_CHANNELS, RATE_SIZE, RATE_BATCH = 256, 8, 32


def tensorflow_machine(
    kind: str, by_torch: Callable[[], float]
) -> Tuple[Dict[str, Any], Callable[[], Dict[str, float]]]:
    """What stays the same of the machine, and a function that measures its rates.

    Args:
        by_torch: the rate of float32 convolutions by torch. The faster framework counts: a machine
            is no slower because of TensorFlow 1.15's kernels.
    """
    able = tf_runtime.capabilities(kind)
    precision = resolve("must_keep_origin_dtype", "tensorflow", kind, able)
    device = tf_runtime.open_device(kind, Place(0, 1, 0), precision)
    kinds = ("fp32", "bf16") if able.bfloat16 else ("fp32",)
    convolutions = _Convolutions(device, precision, kinds)
    found = {
        "tensorflow": str(tf.__version__),
        "device": device.name,
        "bfloat16": able.bfloat16,
        "threads": tf_runtime.cpu_threads(),
        "bandwidth": _copy_bandwidth(),
    }

    def rates() -> Dict[str, float]:
        own = convolutions.rates()
        return dict(own, fp32=max(own["fp32"], by_torch()))

    return found, rates


class _Convolutions:
    """3x3 convolutions, 256 channels at 8x8, forward, in several types."""

    def __init__(self, device: Any, precision: Any, kinds: Tuple[str, ...]) -> None:
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
        """Operations a second."""
        operations = 2.0 * RATE_BATCH * RATE_SIZE**2 * 9 * RATE_CHANNELS**2
        return {
            kind: operations / self._median_seconds(convolution)
            for kind, convolution in self._convolutions.items()
        }

    def _median_seconds(self, operation: Any, repeats: int = 15) -> float:
        times = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            self._session.run(operation)
            times.append(time.perf_counter() - began)
        return sorted(times[1:])[repeats // 2]


def _copy_bandwidth(repeats: int = 7) -> float:
    """Bytes a second of copying 128 MiB by numpy, read and written bytes both counted."""
    source = np.ones(COPY_ELEMENTS, np.float32)
    target = np.empty_like(source)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - began)
    return 2.0 * source.nbytes / sorted(times[1:])[repeats // 2]
