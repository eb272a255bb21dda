"""Training steps of a variant, ready to be timed, on synthetic batches in memory."""

from __future__ import annotations

import argparse
import time
from typing import Any, Callable, Dict, Tuple

import numpy as np

from benchmarks.shared.harness import BASELINE
from benchmarks.shared.needs import Needs
from benchmarks.shared.timing import Timing, Trainer, graph_trainer
from benchmarks.slot_attention.benchmark import OBJECT_DISCOVERY, PRECISION_MODES

FRAMEWORK, WARM_UP_STEPS = "tensorflow", 2
FLAGS = {"task": str, "batch_size": int}
RESOLUTION = 128
Case = argparse.Namespace  # a task at a batch size, as the worker was told


def synthetic_arrays(case: Case) -> Dict[str, np.ndarray]:
    """One batch: images in [-1, 1], and targets in [0, 1] where the task has them.

    More would not be more to compute, but memory that training does not take: a dataset's arrays
    are constants of the graph, of which a session keeps several copies.
    """
    count = case.batch_size
    random = np.random.RandomState(0)
    images = random.uniform(-1, 1, (count, RESOLUTION, RESOLUTION, 3)).astype(np.float32)
    if case.task == OBJECT_DISCOVERY:
        return {"image": images}
    return {"image": images, "target": random.uniform(0, 1, (count, 10, 19)).astype(np.float32)}


def images_of(case: Case) -> int:
    """Images of one step."""
    return int(case.batch_size)


def needs_of(case: Case) -> Needs:
    """What an image costs at least."""
    from benchmarks.slot_attention.machine import needs_of_task

    return needs_of_task(case.task)


def open_trainer(case: Case) -> Trainer:
    """Makes a variant ready."""
    if case.name == BASELINE:
        return _plain_trainer(case)
    return _own_trainer(PRECISION_MODES[case.name], case, case.device)


def _plain_trainer(case: Case) -> Trainer:
    from benchmarks.slot_attention import baseline

    trainer = baseline.open_trainer(case.task, synthetic_arrays(case), case.batch_size)

    def run(count: int) -> Timing:
        waited, loss = 0.0, float("nan")
        began = time.perf_counter()
        for _ in range(count):
            asked = time.perf_counter()
            batch = trainer.next_batch()
            waited += time.perf_counter() - asked
            loss = trainer.step(batch)
        return Timing(time.perf_counter() - began, waited, loss)

    return run


def _own_trainer(mode: str, case: Case, device_kind: str) -> Trainer:
    """The graph that common.training.tensorflow.loop runs, with what it fetches in every step."""
    from common.machine.precision import resolve
    from common.machine.ranks import Place
    from common.training.tensorflow import runtime as tf_runtime
    from common.training.tensorflow.runtime import tf
    from common.training.tensorflow.step_graph import build_step_graph

    place = Place(0, 1, 0)
    precision = resolve(mode, "tensorflow", device_kind, tf_runtime.capabilities(device_kind))
    device = tf_runtime.open_device(device_kind, place, precision)

    def make_batches(first: int) -> Any:
        arrays = synthetic_arrays(case)
        return (
            tf.data.Dataset.from_tensor_slices(arrays)
            .repeat()
            .batch(case.batch_size, drop_remainder=True)
            .skip(first)
            .prefetch(2)
        )

    graph = build_step_graph(_build(case), make_batches, 0, 0, device, precision, lambda: [0, 0])
    session = tf_runtime.open_session(device, precision)
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    session.run(graph.iterator.initializer)
    return graph_trainer(session, graph.fetches)


def _build(case: Case) -> Any:
    """The build function of a task's training, on the parts its entry point uses."""
    from common.training.tensorflow.description import Inputs, TrainingGraph
    from common.training.tensorflow.draws import step_seed
    from common.training.tensorflow.minimisation import minimise
    from common.training.tensorflow.optimizers import adam
    from common.training.tensorflow.schedule import warmup_exponential_decay
    from slot_attention.scene_passes import drawn_noise

    def build(inputs: Inputs) -> TrainingGraph:
        network, settings, loss_of = _network(case)
        seed = step_seed(inputs.seed, inputs.step, "slots")
        loss = loss_of(inputs.batch, drawn_noise(settings, case.batch_size, seed))
        rate = warmup_exponential_decay(inputs.step, 4e-4, 10000, 0.5, 100000)
        step = minimise(
            loss,
            adam(rate),
            network.trainable_weights,
            inputs.device,
            inputs.precision,
            inputs.global_step,
        )
        return TrainingGraph(loss, rate, step, network)

    return build


def _network(case: Case) -> Tuple[Any, Any, Callable[[Any, Any], Any]]:
    from slot_attention.losses import hungarian_huber_loss, reconstruction_loss
    from slot_attention.network.architecture import ARCHITECTURES, SlotSettings
    from slot_attention.network.autoencoder import SlotAttentionAutoEncoder
    from slot_attention.network.set_predictor import SlotAttentionClassifier

    if case.task == OBJECT_DISCOVERY:
        settings = SlotSettings(count=7)
        network = SlotAttentionAutoEncoder(ARCHITECTURES["clevr"], settings)
        return (
            network,
            settings,
            lambda batch, noise: reconstruction_loss(
                batch["image"], network(batch["image"], noise).combined
            ),
        )
    settings = SlotSettings(count=10)
    network = SlotAttentionClassifier(RESOLUTION, settings)
    return (
        network,
        settings,
        lambda batch, noise: hungarian_huber_loss(
            batch["target"], network(batch["image"], noise).predictions
        ),
    )
