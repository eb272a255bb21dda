"""This network and TensorFlow's: the same first weights, steps, checkpoints, dumps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from proto_runs import COMMON, events, flags

from common.data.labelled_images import DatasetSplits, LabelledImages, numbered_names
from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.machine.precision import KEEP, resolve
from common.machine.ranks import Place
from common.runs.dump import find_dump
from common.training.initial_weights import HE_NORMAL
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.engine import build_step_graph
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import draw_initial_weights, named_weights
from common.training.torch import runtime as torch_runtime
from common.training.torch.exchanged import draw_initial_weights as draw_in_torch
from common.training.torch.exchanged import keras_weights
from protoattend import building
from protoattend.data.batches import Batches
from protoattend.evaluate import main as evaluate_in_tensorflow
from protoattend.network.architecture import Architecture
from protoattend.network.prototype_network import PrototypeNetwork as TensorFlowNetwork
from protoattend.options import TRAIN
from protoattend.options import parse_options as tensorflow_options
from protoattend.runs import architecture_of, schedule_of
from protoattend.session import Session as TensorFlowSession
from protoattend.train import main as train_in_tensorflow
from protoattend.training import make_batches as batches_in_tensorflow
from protoattend_torch.evaluate import main as evaluate
from protoattend_torch.network import PrototypeNetwork
from protoattend_torch.options import parse_options
from protoattend_torch.session import Session
from protoattend_torch.train import main as train
from protoattend_torch.training import make_batches, training_of

pytestmark = [pytest.mark.tensorflow, pytest.mark.pytorch, pytest.mark.long]
NAMES = numbered_names(4)
STEPS, EXACT, FIGURES = 20, 1e-5, 1e-4


@pytest.mark.parametrize("encoder", ["resnet32", "pooled", "small"])
def test_first_weights_are_the_same(encoder):
    architecture = Architecture(encoder)
    with tf.Graph().as_default(), tf.Session() as session:
        network = TensorFlowNetwork(architecture)
        draw_initial_weights(session, network, 7, HE_NORMAL)
        theirs = session.run(named_weights(network))
    network = PrototypeNetwork(architecture)
    draw_in_torch(network, 7, HE_NORMAL)
    ours = keras_weights(network)
    assert set(ours) == set(theirs)
    assert all(np.array_equal(ours[path], value) for path, value in theirs.items())


# Steps in float64


def random_dataset():
    draws = np.random.RandomState(0)

    def images(count):
        pixels = draws.randint(0, 256, (count, 12, 12, 1)).astype(np.uint8)
        return LabelledImages(
            pixels, draws.randint(0, 4, count).astype(np.int32), numbered_names(4)
        )

    return DatasetSplits("random", images(120), images(8), images(8), "random", "")


def steps_in_tensorflow(words, dataset, monkeypatch):
    """Losses, and weights by attribute path."""
    monkeypatch.setattr(building, "SplitEvaluation", lambda *_: _Nothing())  # it is float32's
    options = tensorflow_options(TRAIN, words)
    precision = resolve(KEEP, "tensorflow", "cpu", tf_runtime.capabilities("cpu"))
    device = tf_runtime.open_device("cpu", Place(0, 1, 0), precision)
    session = TensorFlowSession(options, device, precision, dataset)
    schedule = schedule_of(options, dataset, 1)
    tf.keras.backend.set_floatx("float64")
    try:
        with tf.Graph().as_default(), tf.Session() as running:
            build = building.build_training(session, architecture_of(options, dataset), schedule)
            batches = batches_in_tensorflow(Batches(dataset.train, options))
            graph = build_step_graph(build, batches, 0, options.seed, device, precision)
            running.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            graph.network.begin(running)
            running.run(graph.iterator.initializer)
            losses = [running.run(graph.fetches)["loss"] for _ in range(STEPS)]
            return losses, running.run(named_weights(graph.network.network))
    finally:
        tf.keras.backend.set_floatx("float32")


class _Nothing:
    evaluate = pictures = None


def steps_in_torch(words, dataset):
    options = parse_options(TRAIN, words)
    precision = resolve(KEEP, "torch", "cpu", torch_runtime.capabilities("cpu"))
    device = torch_runtime.open_device("cpu", 0, precision)
    session = Session(options, device, precision, Place(0, 1, 0), dataset)
    architecture = architecture_of(options, dataset)
    network = PrototypeNetwork(architecture, detached=options.detach_attention)
    draw_in_torch(network, options.seed, HE_NORMAL)
    batches = Batches(dataset.train, options)
    training = training_of(session, network.double().train(), batches)
    stepper, coming = training.open_stepper(), make_batches(batches, 0, device)
    losses = []
    for done in range(STEPS):
        for group in stepper.optimizer.param_groups:
            group["lr"] = training.learning_rate(done)
        stepper.zero_grad()
        loss, _ = training.loss(stepper.model, next(coming))
        stepper.step(loss)
        losses.append(loss.item())
    return losses, keras_weights(network)


@pytest.mark.parametrize(
    "way",
    [
        "--example_cand_size=0",
        "--example_cand_size=24",
        "--example_cand_size=24 --detach_attention",
    ],
)
def test_twenty_steps_in_float64_are_the_same(way, monkeypatch):
    words = ["--device=cpu", "--dataset=digits", "--encoder=small", "--batch_size=8"]
    words += [*way.split(), "--eval_cand_size=40", "--warmup_steps=3"]
    dataset = random_dataset()
    theirs, wanted = steps_in_tensorflow(words, dataset, monkeypatch)
    ours, found = steps_in_torch(words, dataset)
    assert np.abs(np.array(ours) / theirs - 1).max() < EXACT
    assert all(value.dtype == np.float64 for value in found.values())
    for path, value in wanted.items():
        distance = np.linalg.norm(found[path] - value)
        assert distance <= EXACT * max(1e-3, np.linalg.norm(value)), path


# Runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of the same run in both, each of which stored its second step."""
    folder = tmp_path_factory.mktemp("runs")
    for name, run in (("tensorflow", train_in_tensorflow), ("torch", train)):
        assert run(flags(folder / name, 6, "--dump_tensors=2")) == 0
    return folder


def test_batches_settings_and_losses_are_the_same(runs):
    start, other = (events(runs / name, "start")[0] for name in ("tensorflow", "torch"))
    for what in ("first_batches_sha256", "config_sha256", "network"):
        assert start[what] == other[what]
    theirs, ours = (
        np.array([(event["loss"], event["learning_rate"]) for event in events(runs / name, "step")])
        for name in ("tensorflow", "torch")
    )
    assert np.abs(ours / theirs - 1).max() < 1e-4


@pytest.mark.parametrize("name", ["tensorflow", "torch"])
def test_checkpoints_of_either_give_the_same_figures_in_both(runs, name, tmp_path):
    found = []
    for kind, run in (("tensorflow", evaluate_in_tensorflow), ("torch", evaluate)):
        words = [f"--checkpoint={runs / name}", f"--output_path={tmp_path / kind}"]
        assert run([*COMMON, *words, "--out_of_distribution=", "--gallery_count=2"]) == 0
        record = json.loads((tmp_path / kind / "record.json").read_text())
        found.append(record["metrics"]["final"])
    assert set(found[0]) == set(found[1])
    for what, value in found[0].items():
        assert found[1][what] == pytest.approx(value, abs=FIGURES), what


def test_a_step_repeated_in_the_other_framework_stays_within_tolerance(runs, tmp_path):
    for name, other in (("tensorflow", train), ("torch", train_in_tensorflow)):
        words = ["--random_seed=9", f"--dump_from={runs / name}"]
        assert other(flags(tmp_path / name, 3, *words)) == 0
        outcome = compare_dumps(find_dump(runs / name), find_dump(tmp_path / name))
        assert outcome.verdict == WITHIN, outcome.obstacles or outcome.first
