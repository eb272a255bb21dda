"""One variant in a process of its own, which does steps when it is told to.

Each line on standard input is a number of steps; each answer a line of JSON. The name `machine`
measures the machine itself in place of a variant. What the network gives is in its steps.py:
FRAMEWORK, FLAGS, WARM_UP_STEPS, open_trainer, needs_of, images_of.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import sys
from dataclasses import asdict
from typing import Any, Callable, Dict, Optional, Sequence

from benchmarks.shared.answering import Answer, answer_until_the_end
from benchmarks.shared.needs import BYTES_PER_NUMBER
from benchmarks.shared.rounds import MACHINE


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prepares, says so, then answers until the input ends; returns the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser()
    for flag in ("--network", "--name", "--device"):
        parser.add_argument(flag, required=True)
    known, rest = parser.parse_known_args(argv)
    prepare = _machine if known.name == MACHINE else _variant
    return answer_until_the_end(lambda: prepare(known, rest))


def _steps_of(known: argparse.Namespace, rest: Sequence[str]) -> Any:
    """The network's steps.py, and its flags read."""
    steps = importlib.import_module(f"benchmarks.{known.network}.steps")
    parser = argparse.ArgumentParser()
    for flag, kind in steps.FLAGS.items():
        parser.add_argument("--" + flag, type=kind, required=True)
    return steps, parser.parse_args(rest, argparse.Namespace(**vars(known)))


def _variant(known: argparse.Namespace, rest: Sequence[str]) -> Answer:
    steps, arguments = _steps_of(known, rest)
    trainer = steps.open_trainer(arguments)
    trainer(steps.WARM_UP_STEPS)

    def answer(count: int) -> Dict[str, Any]:
        return dict(asdict(trainer(count)), peak_memory=_peak_memory(steps, arguments.device))

    return answer


def _peak_memory(steps: Any, device: str) -> int:
    """Bytes: of the accelerator where there is one, else of the process."""
    if device == "gpu" and steps.FRAMEWORK == "torch":
        import torch

        return int(torch.cuda.max_memory_allocated())
    if device == "gpu":
        import tensorflow as tf

        if hasattr(tf.config.experimental, "get_memory_info"):
            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _machine(known: argparse.Namespace, rest: Sequence[str]) -> Answer:
    steps, arguments = _steps_of(known, rest)
    if steps.FRAMEWORK == "torch":
        from benchmarks.shared.torch_machine import torch_machine

        found, rates = torch_machine(known.device)
    else:
        by_torch = _fp32_by_torch(known.device)  # torch goes before TensorFlow 1.15's import
        from benchmarks.shared.tf_machine import tensorflow_machine

        found, rates = tensorflow_machine(known.device, by_torch)
    needs, images = steps.needs_of(arguments), steps.images_of(arguments)
    fixed = dict(
        found,
        operations_per_image=needs.operations,
        bytes_per_image={kind: needs.bytes_per_image(kind, images) for kind in BYTES_PER_NUMBER},
    )
    return lambda count: dict(fixed, rates=rates())


def _fp32_by_torch(device: str) -> Callable[[], float]:
    """The rate of float32 convolutions by torch; 0 where there is no torch, or an accelerator."""
    if device != "cpu":
        return float
    try:
        from benchmarks.shared.torch_machine import fp32_rate
    except ImportError:
        return float
    return fp32_rate(device)


if __name__ == "__main__":
    sys.exit(main())
