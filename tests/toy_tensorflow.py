"""A linear network trained by the engine of TensorFlow: what its tests run, here and in processes.

python toy_tensorflow.py OUTPUT_PATH STEPS [flag=value …]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy

from common.core.command_line import run_program
from common.machine.precision import resolve
from common.machine.ranks import find_tensorflow_place
from common.training import loop
from common.training.run import Evaluation
from common.training.schedule import Schedule
from common.training.tensorflow import ranks as tf_ranks
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.activations import recording
from common.training.tensorflow.description import Inputs, TrainingGraph
from common.training.tensorflow.engine import TensorFlowEngine
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.of_step import scheduled_rate, step_seed
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import draw_initial_weights
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


class ToyNetwork(tf.keras.layers.Layer):
    """Dense, ReLU, Dense."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.hidden = tf.keras.layers.Dense(units, activation="relu")
        self.last = tf.keras.layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.last(self.hidden(inputs))


def samples() -> Any:
    return numpy.random.RandomState(0).randn(SAMPLES, FEATURES).astype(numpy.float32)


def batches(options: Mapping[str, Any], place: Any) -> Any:
    """Batch number n of the job, of which each rank takes its part, for every n."""
    features, size = samples(), options["batch_size"]

    def indices(number: Any) -> Any:
        begin = (number * place.world_size + place.rank) * size
        return tf.gather(features, (begin + tf.range(size, dtype=tf.int64)) % SAMPLES)

    def value(number: Any, batch: Any) -> Any:
        broken = tf.equal(number, options["nan_at"])
        return tf.where(broken, batch * numpy.nan, batch)

    def paused(number: Any) -> Any:
        def pause(value: Any) -> Any:
            time.sleep(options["pause"])
            return value

        return tf.reshape(tf.py_func(pause, [number], tf.int64), [])

    def make(first: int) -> Any:
        last = options["batches"] or 10**9
        numbers = tf.data.Dataset.range(first, last)
        if options["pause"]:
            numbers = numbers.map(paused)
        return numbers.map(lambda number: value(number, indices(number))).prefetch(2)

    return make


def build(options: Mapping[str, Any]) -> Any:
    def build_graph(inputs: Inputs) -> TrainingGraph:
        network = ToyNetwork(options["units"])
        seed = step_seed(inputs.seed, inputs.step, "noise", inputs.device.place.rank)
        shape = [options["batch_size"], FEATURES]
        drawn = inputs.noise("features", tf.random.stateless_normal(shape, seed=seed))
        features = tf.ensure_shape(inputs.batch + options["noise"] * drawn, [None, FEATURES])
        wanted = tf.reduce_sum(inputs.batch, axis=1, keepdims=True)
        with recording(network) as activations:
            loss = tf.reduce_mean(tf.square(network(features) - wanted))
        schedule = Schedule(0.02, 5, decay_rate=0.5, decay_steps=100)
        rate = scheduled_rate(schedule, inputs.step)
        step = minimise(
            loss,
            tf.train.AdamOptimizer(rate),
            network.trainable_variables,
            inputs.device,
            inputs.precision,
            inputs.global_step,
            clip_norm=options["clip_norm"] or None,
        )
        held_out = tf.reduce_mean(tf.square(network(samples())))
        return TrainingGraph(
            loss,
            rate,
            step,
            network,
            diagnostics={"largest": tf.reduce_max(inputs.batch)},
            evaluate=lambda session, number, role: evaluation(session, held_out, number),
            pictures=lambda session, number: {"dot": PNG},
            activations=activations,
            noise={"features": drawn},
            begin=lambda running: draw_initial_weights(running, network, inputs.seed),
        )

    return build_graph


def evaluation(session: Any, tensor: Any, step: int) -> Sequence[Evaluation]:
    return evaluation_of(float(session.run(tensor)), step)


def run_toy(output_path: Path, steps: int, **given: Any) -> int:
    options = dict(DEFAULTS, **given)
    place = find_tensorflow_place(os.environ, "cpu")
    precision = resolve(options["mode"], "tensorflow", "cpu", tf_runtime.capabilities("cpu"))
    device = tf_runtime.open_device("cpu", place, precision)
    settings, subject = settings_of(options, output_path, steps), subject_of(options)
    try:
        return loop.train(
            TensorFlowEngine(
                build(options), batches(options, place), device, precision, settings, subject
            )
        )
    finally:
        tf_ranks.close_device(device)


if __name__ == "__main__":
    run_program(lambda words: run_words(run_toy, words), sys.argv[1:])
