"""Training steps of a variant, ready to be timed, on synthetic images in memory."""

from __future__ import annotations

import argparse
import time
from typing import Dict

import numpy as np

from benchmarks.protoattend.benchmark import PRECISION_MODES
from benchmarks.shared.harness import BASELINE
from benchmarks.shared.needs import Needs
from benchmarks.shared.timing import Timing, Trainer, graph_trainer

FRAMEWORK, WARM_UP_STEPS = "tensorflow", 2
FLAGS = {"batch_size": int, "candidates": int}
SHAPE, CLASSES = (28, 28, 1), 10
Case = argparse.Namespace  # queries and candidates of a step, as the worker was told
DATABASE = 512  # candidates of evaluations, which no step touches: enough to have every class


def images_of(case: Case) -> int:
    """Images that one step encodes."""
    return int(case.batch_size + case.candidates)


def needs_of(case: Case) -> Needs:
    """What an image costs at least."""
    from benchmarks.protoattend.machine import needs_of_encoder

    return needs_of_encoder()


def open_trainer(case: Case) -> Trainer:
    """Makes a variant ready."""
    if case.name == BASELINE:
        return _plain_trainer(case)
    return _own_trainer(PRECISION_MODES[case.name], case)


def synthetic_arrays(case: Case) -> Dict[str, np.ndarray]:
    """One batch of standardised images with labels, and candidates."""
    random = np.random.RandomState(0)

    def images(count: int) -> np.ndarray:
        return random.standard_normal((count,) + SHAPE).astype(np.float32)

    return {
        "images": images(case.batch_size),
        "candidates": images(case.candidates),
        "labels": random.randint(0, CLASSES, case.batch_size).astype(np.int32),
    }


def _plain_trainer(case: Case) -> Trainer:
    """The baseline on standardised batches: what makes them costs it nothing."""
    from benchmarks.protoattend import baseline

    trainer = baseline.Trainer(synthetic_arrays(case))

    def run(count: int) -> Timing:
        loss = float("nan")
        began = time.perf_counter()
        for _ in range(count):
            loss = trainer.step()
        return Timing(time.perf_counter() - began, 0.0, loss)

    return run


def _own_trainer(mode: str, case: Case) -> Trainer:
    """The graph and the input that protoattend.train runs, with what every step fetches."""
    from benchmarks.protoattend.synthetic import synthetic_session
    from common.training.tensorflow import runtime as tf_runtime
    from common.training.tensorflow.runtime import tf
    from common.training.tensorflow.step_graph import build_step_graph
    from protoattend.building import build_training
    from protoattend.data.batches import make_batches
    from protoattend.training import batch_plan

    session = synthetic_session(
        case.device,
        mode,
        [
            "--batch_size",
            str(case.batch_size),
            "--example_cand_size",
            str(case.candidates),
            "--eval_cand_size",
            str(DATABASE),
        ],
        trained=2 * images_of(case) + DATABASE,
    )
    graph = build_step_graph(
        build_training(session, session.architecture()),
        make_batches(session.dataset.train, batch_plan(session)),
        0,
        session.options.random_seed,
        session.device,
        session.precision,
        lambda: [0, 0],
    )
    running = tf_runtime.open_session(session.device, session.precision)
    running.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    graph.network.begin(running)
    running.run(graph.iterator.initializer)
    return graph_trainer(running, graph.fetches)
