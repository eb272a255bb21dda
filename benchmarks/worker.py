"""One variant in a process of its own, which does steps when it is told to.

python -m benchmarks.worker NETWORK VARIANT DEVICE SIZES, sizes as JSON. Each line on standard input
is a number of steps; each answer a line of JSON. The variant `machine` measures the machine itself:
the rate of a 3x3 convolution, forward, 256 channels at 8x8.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import sys
import time
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

import numpy as np

from benchmarks.harness import MACHINE, Benchmark
from common.core.errors import ZooError
from common.machine.precision import resolve
from common.machine.ranks import Place

WARM_UP_STEPS = {"torch": 3, "tensorflow": 2}
RATE_CHANNELS, RATE_SIZE, RATE_BATCH, GPU_RATE_BATCH = 256, 8, 32, 1024
Answer = Callable[[int], Dict[str, Any]]


def main(words: Sequence[str]) -> int:
    """Prepares, says so, then answers until the input ends; returns the exit code."""
    began = time.perf_counter()
    network, name, device_kind, sizes = words
    benchmark = importlib.import_module(f"benchmarks.{network}.benchmark").BENCHMARK
    try:
        if name == MACHINE:
            answer = _torch_machine if benchmark.framework == "torch" else _tensorflow_machine
            answer = answer(device_kind)
        else:
            answer = _variant(benchmark, name, device_kind, json.loads(sizes))
    except (ZooError, RuntimeError) as error:
        _say({"error": str(error).split("\n")[0]})
        return 1
    _say({"ready": time.perf_counter() - began})
    for line in sys.stdin:
        _say(answer(int(line)))
    return 0


def _say(answer: Mapping[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _variant(benchmark: Benchmark, name: str, device_kind: str, sizes: Mapping[str, Any]) -> Answer:
    trainer = benchmark.open_trainer(name, device_kind, sizes)
    trainer(WARM_UP_STEPS[benchmark.framework])

    def answer(count: int) -> Dict[str, Any]:
        seconds, waited = trainer(count)
        memory = _peak_memory(benchmark.framework, device_kind)
        return {"seconds": seconds, "wait_seconds": waited, "peak_memory": memory}

    return answer


def _peak_memory(framework: str, device_kind: str) -> int:
    """Bytes: of the accelerator where there is one, else of the process."""
    if device_kind == "gpu" and framework == "torch":
        import torch

        return int(torch.cuda.max_memory_allocated())
    if device_kind == "gpu":
        import tensorflow as tf

        if hasattr(tf.config.experimental, "get_memory_info"):
            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def trainer_of_graph(
    network_build: Any, make_batches: Any, seed: int, device: Any, precision: Any
) -> Callable[[int], Tuple[float, float]]:
    """Steps as the engine of TensorFlow takes them: one run of the session each."""
    from common.training.tensorflow import runtime as tf_runtime
    from common.training.tensorflow.engine import build_step_graph
    from common.training.tensorflow.runtime import tf

    graph = build_step_graph(network_build, make_batches, 0, seed, device, precision)
    running = tf_runtime.open_session(device, precision)
    running.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    if graph.network.begin is not None:
        graph.network.begin(running)
    running.run(graph.iterator.initializer)

    def train(count: int) -> Tuple[float, float]:
        waited, began = 0.0, time.perf_counter()
        for _ in range(count):
            waited += float(running.run(graph.fetches)["waited"])
        return time.perf_counter() - began, waited

    return train


def trainer_of_batches(
    next_batch: Callable[[], Any],
    step: Callable[[Any], Any],
    await_end: Callable[[Any], Any] = lambda last: None,
) -> Callable[[int], Tuple[float, float]]:
    """Steps that each take a batch out of an iterator; the device is awaited at the end."""

    def train(count: int) -> Tuple[float, float]:
        waited, last, began = 0.0, None, time.perf_counter()
        for _ in range(count):
            asked = time.perf_counter()
            batch = next_batch()
            waited += time.perf_counter() - asked
            last = step(batch)
        await_end(last)
        return time.perf_counter() - began, waited

    return train


def _rate(operation: Callable[[], Any], batch: int, repeats: int = 15) -> float:
    """Operations a second of the convolution, by the median time; the first is not counted."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        operation()
        times.append(time.perf_counter() - began)
    operations = 2.0 * batch * RATE_SIZE**2 * 9 * RATE_CHANNELS**2
    return operations / statistics.median(times[1:])


def _torch_machine(device_kind: str) -> Answer:
    import torch

    from common.training.torch import runtime as torch_runtime

    able = torch_runtime.capabilities(device_kind)
    plain = resolve("must_keep_origin_dtype", "torch", device_kind, able)
    device = torch_runtime.open_device(device_kind, 0, plain)
    batch = RATE_BATCH if device_kind == "cpu" else GPU_RATE_BATCH

    def rate(dtype: Any) -> float:
        plainly = device_kind == "cpu" and dtype == torch.float32
        layout = torch.contiguous_format if plainly else torch.channels_last
        shapes = (batch, RATE_CHANNELS, RATE_SIZE, RATE_SIZE), (RATE_CHANNELS, RATE_CHANNELS, 3, 3)
        images, weights = (
            torch.randn(*shape, device=device.device).to(dtype).contiguous(memory_format=layout)
            for shape in shapes
        )

        def convolve() -> None:
            with torch.no_grad():
                torch.nn.functional.conv2d(images, weights, padding=1)
            torch_runtime.synchronize(device)

        torch_runtime.synchronize(device)
        return _rate(convolve, batch)

    # On a CPU torch computes in bfloat16 at speed since it has a compiler.
    fast = device_kind != "cpu" or hasattr(torch, "compile")
    dtypes = {"fp32": torch.float32, **({"bf16": torch.bfloat16} if fast else {})}
    told = {
        "version": str(torch.__version__),
        "device": device.name,
        "threads": torch.get_num_threads(),
        "bfloat16": fast,
    }
    return lambda _: dict(told, rates={name: rate(dtype) for name, dtype in dtypes.items()})


def _tensorflow_machine(device_kind: str) -> Answer:
    by_torch = _torch_fp32(device_kind)  # torch goes before TensorFlow 1.15's import
    from common.training.tensorflow import runtime as tf_runtime
    from common.training.tensorflow.runtime import tf

    able = tf_runtime.capabilities(device_kind)
    precision = resolve("must_keep_origin_dtype", "tensorflow", device_kind, able)
    device = tf_runtime.open_device(device_kind, Place(0, 1, 0), precision)
    session = tf_runtime.open_session(device, precision)
    random = np.random.RandomState(0)
    shapes = (RATE_BATCH, RATE_SIZE, RATE_SIZE, RATE_CHANNELS), (3, 3, RATE_CHANNELS, RATE_CHANNELS)

    def convolution(dtype: Any) -> Any:
        images, kernel = (
            tf.Variable(tf.cast(tf.constant(random.standard_normal(shape), tf.float32), dtype))
            for shape in shapes
        )
        return tf.nn.conv2d(images, kernel, strides=[1, 1, 1, 1], padding="SAME").op

    dtypes = {"fp32": tf.float32, **({"bf16": tf.bfloat16} if able.bfloat16 else {})}
    operations = {name: convolution(dtype) for name, dtype in dtypes.items()}
    session.run(tf.global_variables_initializer())
    told = {
        "version": str(tf.__version__),
        "device": device.name,
        "threads": tf_runtime.cpu_threads(),
        "bfloat16": able.bfloat16,
    }

    def answer(_: int) -> Dict[str, Any]:
        rates = {
            name: _rate(lambda operation=operation: session.run(operation), RATE_BATCH)
            for name, operation in operations.items()
        }
        # The faster framework counts: a machine is no slower because of TensorFlow 1.15's kernels.
        return dict(told, rates=dict(rates, fp32=max(rates["fp32"], by_torch())))

    return answer


def _torch_fp32(device_kind: str) -> Callable[[], float]:
    """The rate of float32 convolutions by torch; 0 where there is no torch, or an accelerator."""
    try:
        machine = _torch_machine(device_kind) if device_kind == "cpu" else None
    except ImportError:
        machine = None
    return float if machine is None else lambda: machine(0)["rates"]["fp32"]


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main(sys.argv[1:]))
