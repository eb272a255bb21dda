"""A linear network trained by the engine of torch: what its tests run, here and in processes.

python toy_torch.py OUTPUT_PATH STEPS [flag=value …]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence

import torch

from common.core.command_line import run_program
from common.machine.precision import resolve
from common.machine.ranks import find_place
from common.training import loop
from common.training.run import Evaluation
from common.training.torch import optimizers, runtime, step
from common.training.torch.engine import TorchEngine, TorchTraining
from tests.toys import (
    DEFAULTS,
    FEATURES,
    PNG,
    SAMPLES,
    evaluation_of,
    run_words,
    settings_of,
    subject_of,
)


def batches(options: Mapping[str, Any], place: Any) -> Callable[[int], Iterator[Any]]:
    """Batch number n of the job, of which each rank takes its part, for every n."""
    generator = torch.Generator().manual_seed(0)
    features, size = torch.randn(SAMPLES, FEATURES, generator=generator), options["batch_size"]

    def make(first: int) -> Iterator[Any]:
        for number in range(first, options["batches"] or 1 << 30):
            begin = (number * place.world_size + place.rank) * size
            batch = features[[row % SAMPLES for row in range(begin, begin + size)]]
            time.sleep(options["pause"])
            batch = batch * float("nan") if number == options["nan_at"] else batch
            draws = torch.Generator().manual_seed(1000 * options["seed"] + number + place.rank)
            yield batch, batch + options["noise"] * torch.randn(batch.shape, generator=draws)

    return make


def evaluation(network: Any, now: int) -> Sequence[Evaluation]:
    with torch.no_grad():
        return evaluation_of(float(network(torch.ones(SAMPLES, FEATURES)).square().mean()), now)


def run_toy(output_path: Path, steps: int, **given: Any) -> int:
    options: Dict[str, Any] = dict(DEFAULTS, **given)
    place = find_place(os.environ, 0, 1)
    precision = resolve(options["mode"], "torch", "cpu", runtime.capabilities("cpu"))
    device = runtime.open_device("cpu", 0, precision)
    if place.world_size > 1:
        runtime.init_process_group(device, place.rank, place.world_size)
    runtime.seed_everything(options["seed"], device)
    network = torch.nn.Sequential(
        torch.nn.Linear(FEATURES, options["units"]),
        torch.nn.ReLU(),
        torch.nn.Linear(options["units"], 1),
    )
    groups = [{"params": list(network.parameters())}]

    def loss(model: Any, batch: Any) -> torch.Tensor:
        return (model(batch[1]) - batch[0].sum(1, keepdim=True)).square().mean()

    training = TorchTraining(
        network,
        lambda: step.make_stepper(
            network,
            optimizers.make_sgd(device, precision, groups, lr=0.02, momentum=0.9),
            device,
            precision,
            place.world_size,
            options["clip_norm"] or None,
        ),
        {"network": {"name": "toy"}},
        batches(options, place),
        loss,
        lambda done: 0.02 * 0.5 ** (done / 100),
        lambda: groups,
        lambda role, now, heartbeat: evaluation(network, now),
        pictures=lambda number: {"dot": PNG},
    )
    settings, subject = settings_of(options, output_path, steps), subject_of(options)
    try:
        return loop.train(TorchEngine(training, device, place, precision, settings, subject))
    finally:
        runtime.leave_process_group()


if __name__ == "__main__":
    run_program(lambda words: run_words(run_toy, words), sys.argv[1:])
