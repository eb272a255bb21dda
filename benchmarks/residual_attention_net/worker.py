"""One variant in a process of its own, which does steps when it is told to.

Each line on standard input is a number of steps; each answer a line of JSON. The name `machine`
measures the machine itself in place of a variant.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any, Dict

import torch

from benchmarks.residual_attention_net import machine
from benchmarks.residual_attention_net.steps import open_trainer
from benchmarks.residual_attention_net.variants import VARIANTS
from benchmarks.shared.answering import Answer, answer_until_the_end
from benchmarks.shared.rounds import MACHINE
from benchmarks.shared.torch_rate import convolution_rate
from common.machine.precision import resolve
from common.training.torch import runtime as torch_runtime

WARM_UP_STEPS = 3
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> int:
    """Prepare, say so, then answer until the input ends."""
    arguments = _arguments()
    prepare = _machine if arguments.name == MACHINE else _variant
    return answer_until_the_end(lambda: prepare(arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--device", required=True)
    return parser.parse_args()


def _variant(arguments: argparse.Namespace) -> Answer:
    trainer = open_trainer(
        VARIANTS[arguments.name], arguments.batch_size, arguments.device, arguments.images
    )
    trainer.run(WARM_UP_STEPS)

    def answer(steps: int) -> Dict[str, Any]:
        return dict(
            asdict(trainer.run(steps)), peak_memory=torch_runtime.memory_peak(trainer.device)
        )

    return answer


def _machine(arguments: argparse.Namespace) -> Answer:
    capabilities = torch_runtime.capabilities(arguments.device)
    device = torch_runtime.open_device(
        arguments.device,
        0,
        resolve("must_keep_origin_dtype", "torch", arguments.device, capabilities),
    )
    needs = machine.measure_needs()
    fixed = {
        "torch": str(torch.__version__),
        "device": device.name,
        "threads": torch.get_num_threads(),
        "operations_per_image": needs.operations,
        "bandwidth": machine.copy_bandwidth(device),
        "bytes_per_image": {
            name: needs.bytes_per_image(dtype, arguments.batch_size)
            for name, dtype in DTYPES.items()
        },
    }

    def answer(steps: int) -> Dict[str, Any]:
        return dict(
            fixed,
            rates={
                name: convolution_rate(device, dtype)
                for name, dtype in DTYPES.items()
                if _computes(device, dtype)
            },
        )

    return answer


def _computes(device: torch_runtime.TorchDevice, dtype: torch.dtype) -> bool:
    return dtype == torch.float32 or device.kind != "cpu" or hasattr(torch, "compile")


if __name__ == "__main__":
    sys.exit(main())
