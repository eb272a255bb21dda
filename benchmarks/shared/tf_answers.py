"""What the workers of the TensorFlow benchmarks do: time a variant, or measure the machine."""

from __future__ import annotations

import os
import resource
from dataclasses import asdict
from typing import Any, Callable, Dict

from benchmarks.shared.answering import Answer, answer_until_the_end
from benchmarks.shared.rounds import MACHINE
from benchmarks.shared.timing import Trainer

WARM_UP_STEPS = 2


def answer_as(
    name: str,
    device: str,
    open_variant: Callable[[], Trainer],
    find_needs: Callable[[], Any],
    images: int,
) -> int:
    """Prepares, says so, then answers until the input ends; returns the exit code.

    Args:
        name: of a variant, or MACHINE.
        find_needs, images: see machine_answer.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if name == MACHINE:
        return answer_until_the_end(lambda: machine_answer(device, find_needs, images))
    return answer_until_the_end(lambda: _variant_answer(open_variant(), device))


def _variant_answer(run: Trainer, device: str) -> Answer:
    run(WARM_UP_STEPS)

    def answer(steps: int) -> Dict[str, Any]:
        return dict(asdict(run(steps)), peak_memory=peak_memory(device))

    return answer


def peak_memory(device: str) -> int:
    """Bytes: of the accelerator where there is one, else of the process."""
    if device == "gpu":
        import tensorflow as tf

        if hasattr(tf.config.experimental, "get_memory_info"):
            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine_answer(kind: str, find_needs: Callable[[], Any], batch_size: int) -> Answer:
    """Makes the machine's worker ready.

    Args:
        find_needs: returns the network's tf_machine.Needs; called after torch's import.
        batch_size: images of a step.
    """
    by_torch = _torch_rates(kind)
    from benchmarks.shared.tf_machine import Machine, copy_bandwidth
    from common.machine.precision import resolve
    from common.machine.ranks import Place
    from common.training.tensorflow import runtime as tf_runtime
    from common.training.tensorflow.runtime import tf

    able = tf_runtime.capabilities(kind)
    precision = resolve("must_keep_origin_dtype", "tensorflow", kind, able)
    device = tf_runtime.open_device(kind, Place(0, 1, 0), precision)
    kinds = ("fp32", "bf16") if able.bfloat16 else ("fp32",)
    machine, needs = Machine(device, precision, kinds, by_torch), find_needs()
    fixed = {
        "tensorflow": str(tf.__version__),
        "device": device.name,
        "bfloat16": able.bfloat16,
        "threads": tf_runtime.cpu_threads(),
        "operations_per_image": needs.operations,
        "bandwidth": copy_bandwidth(),
        "bytes_per_image": {name: needs.bytes_per_image(name, batch_size) for name in kinds},
    }

    def answer(steps: int) -> Dict[str, Any]:
        return dict(fixed, rates=machine.rates())

    return answer


def _torch_rates(kind: str) -> Callable[[], Dict[str, float]]:
    """The machine's rate by torch, nothing where there is none; goes before TensorFlow's import."""
    try:
        import torch
    except ImportError:
        return dict
    from benchmarks.shared.torch_rate import convolution_rate
    from common.machine.precision import resolve
    from common.training.torch import runtime as torch_runtime

    if kind != "cpu":
        return dict
    device = torch_runtime.open_device(
        kind, 0, resolve("must_keep_origin_dtype", "torch", kind, torch_runtime.capabilities(kind))
    )
    return lambda: {"fp32": convolution_rate(device, torch.float32)}
