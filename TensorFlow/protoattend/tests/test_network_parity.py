"""The network against the reference implementation: outputs, losses, gradients, statistics."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple

import numpy as np
import pytest
from proto_fixtures import (
    arrays,
    assign_reference_weights,
    by_reference_name,
    dot_vector,
    group,
    unpack_checkpoint,
)

from common.training.tensorflow.optimizers import adam
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.stored_weights import find_weights
from protoattend.losses import Losses, cross_entropy, sparsity
from protoattend.network.architecture import SOFTMAX, SPARSEMAX, Architecture
from protoattend.network.attention import attention_logits, attention_weights
from protoattend.network.checkpoints import load_weights
from protoattend.network.prototype_network import (
    PrototypeNetwork,
    standardised,
    update_running_statistics,
)

pytestmark = pytest.mark.tensorflow

# Three times the distances observed between correct implementations.
LOSS, SPARSITY, ENCODED, WEIGHTS = 6e-6, 2.7e-5, 3e-5, 1.5e-5
GRADIENT_NORM, GRADIENT_DOT = 2e-2, 7.5e-2  # float32: kinks of ReLU and sparsemax
EXACT = 1e-9  # float64 against float64, relative
TRAJECTORY = 3.6e-3
LOGITS = 1e-4
STATISTICS = 1e-4


class Graph(NamedTuple):
    """What one step computes, as tensors."""

    network: Any
    queries: Any
    candidates: Any
    logits: Any
    weights: Dict[str, Any]
    mixed: Dict[str, Any]
    class_logits: Dict[str, Any]
    losses: Losses


def _graph(stored: Dict[str, np.ndarray], training: bool) -> Graph:
    network = PrototypeNetwork(Architecture())
    dtype = tf.keras.backend.floatx()
    queries = network.encode(tf.constant(stored["batch_images"], dtype), training)
    candidates = network.encode(tf.constant(stored["cand_images"], dtype), training)
    logits = attention_logits(queries.queries, candidates.keys)
    weights = {name: attention_weights(logits, name) for name in (SPARSEMAX, SOFTMAX)}
    mixed = {name: tf.matmul(weights[name], candidates.values) for name in weights}
    sparse, labels = mixed[SPARSEMAX], tf.constant(stored["batch_labels"])
    classes = {
        "self": network.classify(queries.values),
        "weighted": network.classify(sparse),
        "joint": network.classify(0.5 * queries.values + 0.5 * sparse),
    }
    losses = Losses(
        *(cross_entropy(classes[name], labels) for name in ("self", "weighted", "joint")),
        sparsity=sparsity(weights[SPARSEMAX], 1e-6),
    )
    return Graph(network, queries, candidates, logits, weights, mixed, classes, losses)


@pytest.fixture(scope="module")
def stored():
    return arrays("protoattend_public")


@pytest.fixture(scope="module")
def exact():
    return arrays("protoattend_f64ref_public")


class Ran(NamedTuple):
    """What a graph computed."""

    graph: Any
    losses: Losses
    total: float
    gradients: Dict[str, np.ndarray]
    statistics: Dict[str, np.ndarray]


def _run(stored: Dict[str, np.ndarray], training: bool) -> Ran:
    with tf.Graph().as_default(), tf.Session() as session:
        graph = _graph(stored, training)
        named = {
            name: weight
            for name, weight in by_reference_name(graph.network).items()
            if weight.trainable
        }
        total = graph.losses.total(1e-4)
        gradients = tf.gradients(total, list(named.values()))
        assign_reference_weights(session, graph.network, stored)
        tensors = [
            graph.queries._replace(moments=[]),
            graph.candidates._replace(moments=[]),
            graph.logits,
            graph.weights,
            graph.mixed,
            graph.class_logits,
            graph.losses,
        ]
        values, total, found = session.run([tensors, total, gradients])
        after = {}
        if training:
            session.run(update_running_statistics(graph.queries.moments, graph.candidates.moments))
            after = session.run(
                {
                    name: weight.read_value()
                    for name, weight in by_reference_name(graph.network).items()
                    if "moving" in name
                }
            )
    return Ran(Graph(None, *values), values[-1], total, dict(zip(named, found)), after)


@pytest.fixture(scope="module")
def evaluated(stored):
    return _run(stored, training=False)


@pytest.fixture(scope="module")
def trained(stored):
    return _run(stored, training=True)


@pytest.fixture(scope="module")
def trained_exactly(stored):
    tf.keras.backend.set_floatx("float64")
    try:
        return _run(stored, training=True)
    finally:
        tf.keras.backend.set_floatx("float32")


def test_the_network_has_exactly_the_references_weights(stored):
    with tf.Graph().as_default():
        assert set(by_reference_name(PrototypeNetwork(Architecture()))) == set(group(stored, "w"))


def test_standardisation_is_that_of_tensorflow(stored):
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.constant(stored["raw_uint8"])
        ours, theirs = session.run(
            [
                standardised(images),
                tf.map_fn(tf.image.per_image_standardization, tf.cast(images, tf.float32)),
            ]
        )
    assert np.abs(ours - theirs).max() < 1e-5
    assert np.abs(ours[:8] - stored["batch_images"]).max() < 1e-5


def test_a_constant_image_is_standardised_without_dividing_by_zero(stored):
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.constant(stored["standardize_const_in"][None].astype(np.uint8))
        found = session.run(standardised(image))
    assert np.abs(found[0] - stored["standardize_const_out"]).max() < 1e-5


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("batch", ["queries", "candidates"])
@pytest.mark.parametrize("head", ["keys", "queries", "values"])
def test_keys_queries_and_values_are_the_references(request, stored, mode, batch, head):
    ran = request.getfixturevalue({"eval": "evaluated", "train": "trained"}[mode])
    name = "{}_{}_{}".format(mode, {"queries": "batch", "candidates": "cand"}[batch], head)
    assert np.abs(getattr(getattr(ran.graph, batch), head) - stored[name]).max() < ENCODED


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", [SPARSEMAX, SOFTMAX])
def test_attention_weights_are_the_references(request, stored, mode, name):
    ran = request.getfixturevalue({"eval": "evaluated", "train": "trained"}[mode])
    wanted = stored[f"{mode}_{name}_weights"]
    assert np.abs(ran.graph.weights[name] - wanted).max() < WEIGHTS
    assert np.abs(ran.graph.mixed[name] - stored[f"{mode}_{name}_weighted"]).max() < ENCODED


def test_class_logits_are_the_references(trained, stored):
    for name in ("self", "weighted", "joint"):
        wanted = stored["train_logits_" + name]
        assert np.abs(trained.graph.class_logits[name] - wanted).max() < LOGITS


@pytest.mark.parametrize(
    "ours, theirs, allowed",
    [
        ("own", "self", LOSS),
        ("mixed", "weighted", LOSS),
        ("joint", "joint", LOSS),
        ("sparsity", "sparsity", SPARSITY),
    ],
)
def test_every_term_of_the_loss_is_the_references(trained, exact, ours, theirs, allowed):
    wanted = float(exact["train_loss_" + theirs])
    assert abs(getattr(trained.losses, ours) - wanted) < allowed * max(1, abs(wanted))


def test_losses_agree_in_float64(trained_exactly, exact):
    for ours, theirs in (
        ("own", "self"),
        ("mixed", "weighted"),
        ("joint", "joint"),
        ("sparsity", "sparsity"),
    ):
        wanted = float(exact["train_loss_" + theirs])
        assert abs(getattr(trained_exactly.losses, ours) - wanted) < EXACT * abs(wanted)


def _gradient_distances(ran: Ran, exact: Dict[str, np.ndarray]):
    norms, dots = group(exact, "gradnorm"), group(exact, "graddot")
    assert set(norms) == set(ran.gradients)
    for name, gradient in ran.gradients.items():
        gradient = gradient.astype(np.float64)
        norm = float(norms[name])
        if norm < 1e-9:
            continue
        yield (
            abs(np.linalg.norm(gradient) - norm) / norm,
            abs(np.sum(gradient * dot_vector(name, gradient.shape)) - float(dots[name])) / norm,
        )


def test_gradients_agree_in_float64(trained_exactly, exact):
    assert max(max(pair) for pair in _gradient_distances(trained_exactly, exact)) < 1e-6


def test_gradients_are_the_references(trained, exact):
    norm, dot = (max(column) for column in zip(*_gradient_distances(trained, exact)))
    assert norm < GRADIENT_NORM and dot < GRADIENT_DOT


def test_running_statistics_after_a_step_take_both_batches_in_turn(trained, stored):
    off = {
        name
        for name, wanted in group(stored, "bn_after1").items()
        if np.abs(trained.statistics[name] - wanted).max() > STATISTICS * np.abs(wanted).max()
    }
    # The reference leaves the order open; where it ran the other way round, ours differs.
    assert len({name.rsplit("/", 1)[0] for name in off}) <= 1


def test_five_steps_of_training_lose_what_the_reference_lost(stored, exact):
    with tf.Graph().as_default(), tf.Session() as session:
        graph = _graph(stored, training=True)
        total = graph.losses.total(1e-4)
        optimizer = adam(1e-3)
        pairs = [
            (tf.clip_by_value(gradient, -20, 20), variable)
            for gradient, variable in optimizer.compute_gradients(
                total, graph.network.trainable_weights
            )
        ]
        step = optimizer.apply_gradients(pairs)
        session.run(tf.global_variables_initializer())
        assign_reference_weights(session, graph.network, stored)
        losses = [session.run([total, step])[0] for _ in range(5)]
    wanted = exact["traj_loss"]
    assert np.abs(np.array(losses) / wanted - 1).max() < TRAJECTORY


def test_the_references_checkpoint_gives_its_stored_outputs(stored, tmp_path):
    outputs = arrays("tf1_ckpt_protoattend_outputs")
    with tf.Graph().as_default(), tf.Session() as session:
        graph = _graph(stored, training=False)
        load_weights(session, graph.network, find_weights(str(unpack_checkpoint(tmp_path))))
        weights, mixed, classes = session.run([graph.weights, graph.mixed, graph.class_logits])
    for name in (SPARSEMAX, SOFTMAX):
        assert np.abs(weights[name] - outputs[f"eval_{name}_weights"]).max() < WEIGHTS
        assert np.abs(mixed[name] - outputs[f"eval_{name}_weighted"]).max() < ENCODED
    assert np.abs(classes["self"] - outputs["eval_self_class_logits"]).max() < LOGITS
