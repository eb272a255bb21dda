"""Speed of a training step of both tasks: the torch twin, TensorFlow's network, plain torch."""

from __future__ import annotations

import sys
from typing import Any, Mapping

from benchmarks.harness import (
    BASELINE,
    OF_TENSORFLOW,
    OF_TWIN,
    OWN_MODES,
    Benchmark,
    chosen_of_twin,
    main,
)
from benchmarks.slot_attention.benchmark import (
    OBJECT_DISCOVERY,
    RESOLUTION,
    add_flags,
    cases,
    random_batch,
)
from benchmarks.slot_attention.benchmark import open_trainer as open_on_tensorflow


def open_trainer(name: str, device_kind: str, sizes: Mapping[str, Any]) -> Any:
    """Makes a variant ready on one random batch."""
    if name in OF_TENSORFLOW:
        return open_on_tensorflow(OF_TENSORFLOW[name], device_kind, sizes)
    import torch

    from benchmarks.slot_attention_torch import baseline
    from benchmarks.worker import trainer_of_batches
    from common.training.torch import runtime as torch_runtime

    task, count = sizes["task"], sizes["batch_size"]
    arrays = random_batch(task, count)
    if name == BASELINE:
        place = torch.device(torch_runtime.TORCH_NAMES[device_kind])
        step = baseline.open_trainer(task, arrays, place)
        return trainer_of_batches(lambda: None, step, lambda loss: float(loss.detach()))
    return _as_the_project(name, device_kind, task, count, arrays)


def _as_the_project(name: str, device_kind: str, task: str, count: int, arrays: Any) -> Any:
    """Steps with their noise, on the parts that training uses."""
    from benchmarks.worker import open_on_torch, step_of, trainer_on_torch
    from common.training.noise import step_normal
    from common.training.torch import optimizers
    from common.training.torch import runtime as torch_runtime
    from common.training.torch import step as torch_step
    from common.training.torch.exchanged import draw_initial_weights
    from common.training.torch.reading import on_device, read_ahead
    from slot_attention.network.architecture import ARCHITECTURES, SlotSettings
    from slot_attention.network.choice import NetworkChoice
    from slot_attention_torch import losses
    from slot_attention_torch.network.networks import network_of

    device, precision = open_on_torch(OWN_MODES[name], device_kind)
    settings = SlotSettings(count=7 if task == OBJECT_DISCOVERY else 10)
    architecture = ARCHITECTURES["clevr"] if task == OBJECT_DISCOVERY else None
    network = network_of(task, NetworkChoice(settings, RESOLUTION, architecture))
    draw_initial_weights(network, 0)
    network = torch_runtime.place_model(network, device, precision)
    adam = optimizers.make_adam(device, precision, network.parameters(), 4e-4)
    stepper = torch_step.make_stepper(network, adam, device, precision)

    def read(number: int) -> Any:
        noise = step_normal((count, settings.count, settings.size), 0, number, "slots")
        return {**arrays, "slots": noise}

    batches = read_ahead(read, range(1 << 30))

    def loss_of(model: Any, values: Any) -> Any:
        batch = on_device(values, device)
        found = model(batch["image"], batch["slots"])
        if task == OBJECT_DISCOVERY:
            return losses.reconstruction_loss(batch["image"], found["combined"])
        return losses.hungarian_huber_loss(batch["target"], found["predictions"])

    return trainer_on_torch(lambda: next(batches), step_of(stepper, loss_of), device)


BENCHMARK = Benchmark(
    network="slot_attention_torch",
    framework="torch",
    variants=OF_TWIN,
    cases=cases,
    chosen=chosen_of_twin,
    targets={(1, "ours_fp32"): 1.0, (2, "ours_fp32"): 1.0, (2, "ours_bf16"): 1.0},
    open_trainer=open_trainer,
    most_wait=0.05,
    repeats=8,
    add_flags=add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
