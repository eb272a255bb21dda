"""One variant in a process of its own, which does steps when it is told to.

python -m benchmarks.worker NETWORK VARIANT DEVICE SIZES, sizes as JSON. Each line on standard input
is a number of steps; each answer a line of JSON. The variant `machine` tells what computes.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from benchmarks.harness import MACHINE, Benchmark
from common.core.errors import ZooError
from common.machine.precision import KEEP, resolve
from common.machine.ranks import Place

WARM_UP_STEPS = {"torch": 3, "tensorflow": 2}
Answer = Callable[[int], Dict[str, Any]]


def main(words: Sequence[str]) -> int:
    """Prepares, says so, then answers until the input ends; returns the exit code."""
    began = time.perf_counter()
    network, name, device_kind, sizes = words
    benchmark = importlib.import_module(f"benchmarks.{network}.benchmark").BENCHMARK
    try:
        if name == MACHINE:
            answer = _machine(benchmark.framework, device_kind)
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


def open_on_tensorflow(mode: str, device_kind: str) -> Tuple[Any, Any]:
    """A device by itself, and the precision that a mode is on it."""
    from common.training.tensorflow import runtime as tf_runtime

    able = tf_runtime.capabilities(device_kind)
    precision = resolve(mode, "tensorflow", device_kind, able)
    return tf_runtime.open_device(device_kind, Place(0, 1, 0), precision), precision


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


def open_on_torch(mode: str, device_kind: str) -> Tuple[Any, Any]:
    """A device by itself, and the precision that a mode is on it."""
    from common.training.torch import runtime as torch_runtime

    precision = resolve(mode, "torch", device_kind, torch_runtime.capabilities(device_kind))
    return torch_runtime.open_device(device_kind, 0, precision), precision


def step_of(stepper: Any, loss_of: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A step as the engine of torch takes it; `loss_of` a network and a batch."""

    def step(batch: Any) -> Any:
        stepper.zero_grad()
        with stepper.forward_context():
            loss = loss_of(stepper.model, batch)
        stepper.step(loss)
        return loss

    return step


def trainer_on_torch(
    next_batch: Callable[[], Any], step: Callable[[Any], Any], device: Any
) -> Callable[[int], Tuple[float, float]]:
    """See trainer_of_batches; a step gives its loss."""
    from common.training.torch import runtime as torch_runtime

    def await_end(loss: Any) -> None:
        float(loss.detach())
        torch_runtime.synchronize(device)

    return trainer_of_batches(next_batch, step, await_end)


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


def _machine(framework: str, device_kind: str) -> Answer:
    """What the machine and its framework are."""
    if framework == "torch":
        import torch

        version, threads = str(torch.__version__), torch.get_num_threads()
        # On a CPU torch computes in bfloat16 at speed since it has a compiler.
        fast = device_kind != "cpu" or hasattr(torch, "compile")
        device, _ = open_on_torch(KEEP, device_kind)
    else:
        from common.training.tensorflow import runtime as tf_runtime

        version, threads = tf_runtime.tf.__version__, tf_runtime.cpu_threads()
        fast = tf_runtime.capabilities(device_kind).bfloat16
        device, _ = open_on_tensorflow(KEEP, device_kind)
    told = {"version": version, "device": device.name, "threads": threads, "bfloat16": fast}
    return lambda _: told


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main(sys.argv[1:]))
