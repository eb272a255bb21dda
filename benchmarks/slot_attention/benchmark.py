"""Speed of a training step of both tasks, ours against the plain baseline in the same run."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Mapping, Tuple

import numpy as np

from benchmarks.harness import (
    BASELINE,
    OWN_MODES,
    Benchmark,
    Case,
    chosen_on_tensorflow,
    main,
)
from common.core.command_line import Parser

OBJECT_DISCOVERY, SET_PREDICTION = "object_discovery", "set_prediction"
RESOLUTION = 128
# Batch size and steps of a round.
TASKS: Dict[str, Tuple[int, int]] = {OBJECT_DISCOVERY: (4, 1), SET_PREDICTION: (16, 3)}


def add_flags(parser: Parser) -> None:
    parser.add_argument("--task", choices=sorted(TASKS), help="one task only")


def cases(arguments: Any) -> List[Case]:
    """The tasks to measure, with the batch size and steps that were asked for."""
    found = []
    for task, (batch_size, steps) in TASKS.items():
        if arguments.task in (None, task):
            batch_size = arguments.batch_size or batch_size
            sizes = {"task": task, "batch_size": batch_size}
            text = f"batch {batch_size}"
            found.append(Case(task, text, batch_size, arguments.steps or steps, sizes))
    return found


def random_batch(task: str, count: int) -> Dict[str, np.ndarray]:
    """One batch: images in [-1, 1], of set prediction targets in [0, 1]."""
    random = np.random.RandomState(0)
    images = random.uniform(-1, 1, (count, RESOLUTION, RESOLUTION, 3)).astype(np.float32)
    arrays = {"image": images}
    if task == SET_PREDICTION:
        arrays["target"] = random.uniform(0, 1, (count, 10, 19)).astype(np.float32)
    return arrays


def open_trainer(name: str, device_kind: str, sizes: Mapping[str, Any]) -> Any:
    """Makes a variant ready on one random batch.

    More would not be more to compute, but memory that training does not take: a dataset's arrays
    are constants of the graph, of which a session keeps several copies.
    """
    from benchmarks.worker import open_on_tensorflow, trainer_of_batches, trainer_of_graph

    task, count = sizes["task"], sizes["batch_size"]
    arrays = random_batch(task, count)
    if name == BASELINE:
        from benchmarks.slot_attention import baseline

        trainer = baseline.open_trainer(task, arrays, count)
        return trainer_of_batches(trainer.next_batch, trainer.step)
    from common.training.tensorflow.runtime import tf

    device, precision = open_on_tensorflow(OWN_MODES[name], device_kind)

    def make_batches(first: int) -> Any:
        slices = tf.data.Dataset.from_tensor_slices(arrays).repeat()
        return slices.batch(count, drop_remainder=True).skip(first).prefetch(2)

    return trainer_of_graph(_build(task, count), make_batches, 0, device, precision)


def _build(task: str, count: int) -> Callable[[Any], Any]:
    """The build function of a task's training, on the parts its entry point uses."""
    from common.training.schedule import Schedule
    from common.training.tensorflow.description import Inputs, TrainingGraph
    from common.training.tensorflow.minimisation import minimise
    from common.training.tensorflow.of_step import scheduled_rate, step_seed
    from common.training.tensorflow.runtime import tf
    from slot_attention.building import drawn_noise
    from slot_attention.losses import hungarian_huber_loss, reconstruction_loss
    from slot_attention.network.architecture import ARCHITECTURES, SlotSettings
    from slot_attention.network.networks import SlotAttentionAutoEncoder, SlotAttentionClassifier

    settings = SlotSettings(count=7 if task == OBJECT_DISCOVERY else 10)

    def build(inputs: Inputs) -> TrainingGraph:
        batch = inputs.batch
        noise = drawn_noise(settings, count, step_seed(inputs.seed, inputs.step, "slots"))
        if task == OBJECT_DISCOVERY:
            network = SlotAttentionAutoEncoder(ARCHITECTURES["clevr"], settings)
            loss = reconstruction_loss(batch["image"], network(batch["image"], noise).combined)
        else:
            network = SlotAttentionClassifier(RESOLUTION, settings)
            found = network(batch["image"], noise)
            loss = hungarian_huber_loss(batch["target"], found.predictions)
        schedule = Schedule(4e-4, 10000, decay_rate=0.5, decay_steps=100000)
        rate = scheduled_rate(schedule, inputs.step)
        weights = network.trainable_weights
        step = minimise(
            loss,
            tf.train.AdamOptimizer(rate),
            weights,
            inputs.device,
            inputs.precision,
            inputs.global_step,
        )
        return TrainingGraph(loss, rate, step, network)

    return build


BENCHMARK = Benchmark(
    network="slot_attention",
    framework="tensorflow",
    variants=(BASELINE, *OWN_MODES),
    cases=cases,
    chosen=chosen_on_tensorflow,
    targets={(1, "ours_fp32"): 1.0, (2, "ours_fp32"): 1.0, (2, "ours_bf16"): 1.5},
    open_trainer=open_trainer,
    most_wait=0.05,
    repeats=8,
    add_flags=add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
