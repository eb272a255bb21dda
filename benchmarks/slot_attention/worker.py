"""One variant in a process of its own, which does steps when it is told to.

Each line on standard input is a number of steps; each answer a line of JSON. The name `machine`
measures the machine itself in place of a variant.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from dataclasses import asdict
from typing import Any, Callable, Dict

from benchmarks.shared.answering import Answer, answer_until_the_end
from benchmarks.slot_attention.cases import CASES, Case
from benchmarks.slot_attention.steps import open_trainer

MACHINE = "machine"
WARM_UP_STEPS = 2


def main() -> int:
    """Prepare, say so, then answer until the input ends."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    arguments = _arguments()
    case = Case(arguments.task, arguments.batch_size, 1)
    if arguments.name == MACHINE:
        return answer_until_the_end(lambda: _machine(case, arguments.device))
    return answer_until_the_end(lambda: _variant(arguments.name, case, arguments.device))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--task", required=True, choices=sorted(CASES))
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--device", required=True)
    return parser.parse_args()


def _variant(name: str, case: Case, device: str) -> Answer:
    run = open_trainer(name, case, device)
    run(WARM_UP_STEPS)

    def answer(steps: int) -> Dict[str, Any]:
        return dict(asdict(run(steps)), peak_memory=_peak_memory(device))
    return answer


def _peak_memory(device: str) -> int:
    """Bytes: of the accelerator where there is one, else of the process."""
    if device == "gpu":
        import tensorflow as tf

        if hasattr(tf.config.experimental, "get_memory_info"):
            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _torch_rates(kind: str) -> Callable[[], Dict[str, float]]:
    """The machine's rate by torch, nothing where there is none; goes before TensorFlow's import."""
    try:
        import torch
    except ImportError:
        return dict
    from benchmarks.shared.torch_rate import convolution_rate
    from common import torch_runtime
    from common.precision import resolve

    if kind != "cpu":
        return dict
    device = torch_runtime.open_device(kind, 0, resolve(
        "must_keep_origin_dtype", "torch", kind, torch_runtime.capabilities(kind)))
    return lambda: {"fp32": convolution_rate(device, torch.float32)}


def _machine(case: Case, kind: str) -> Answer:
    by_torch = _torch_rates(kind)
    from benchmarks.slot_attention.machine import Machine, copy_bandwidth, needs_of
    from common import tf_runtime
    from common.precision import resolve
    from common.ranks import Place
    from common.tf_runtime import tf

    able = tf_runtime.capabilities(kind)
    precision = resolve("must_keep_origin_dtype", "tensorflow", kind, able)
    device = tf_runtime.open_device(kind, Place(0, 1, 0), precision)
    kinds = ("fp32", "bf16") if able.bfloat16 else ("fp32",)
    machine, needs = Machine(device, precision, kinds, by_torch), needs_of(case.task)
    fixed = {
        "tensorflow": str(tf.__version__), "device": device.name, "bfloat16": able.bfloat16,
        "threads": tf_runtime.cpu_threads(), "operations_per_image": needs.operations,
        "bandwidth": copy_bandwidth(),
        "bytes_per_image": {name: needs.bytes_per_image(name, case.batch_size)
                            for name in kinds}}

    def answer(steps: int) -> Dict[str, Any]:
        return dict(fixed, rates=machine.rates())
    return answer


if __name__ == "__main__":
    sys.exit(main())
