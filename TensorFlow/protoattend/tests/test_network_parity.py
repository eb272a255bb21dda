"""The network against the reference: outputs, losses, gradients, statistics, checkpoints."""

from __future__ import annotations

import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from proto_parity import HEADS, Parity

from common.core.errors import ZooError
from common.data.labelled_images import LabelledImages
from common.training.stored_weights import find_weights
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import named_weights
from protoattend.building import Losses, cross_entropy, sparsity
from protoattend.network.architecture import SOFTMAX, SPARSEMAX, Architecture
from protoattend.network.attention import (
    attention_logits,
    attention_weights,
    project,
    sparsemax,
)
from protoattend.network.checkpoints import reference_name
from protoattend.network.prototype_network import (
    PrototypeNetwork,
    load_weights,
    standardised,
    update_running_statistics,
)
from protoattend.passes import PrototypePasses
from tests.fixtures.packed_arrays import group, load_either
from tests.fixtures.proto_reference import ENCODED, FOLDER, LOGITS, TRAJECTORY, WEIGHTS

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]


def by_reference_name(network):
    """The weights of a network by the reference's names."""
    return {reference_name(path): weight for path, weight in named_weights(network).items()}


def assign(session, network, stored):
    """Gives a network the weights of the fixture."""
    values, weights = group(stored, "w"), by_reference_name(network).items()
    types = {name: weight.dtype.base_dtype.as_numpy_dtype for name, weight in weights}
    session.run([weight.assign(values[name].astype(types[name])) for name, weight in weights])


def graph(stored, training):
    """A network, what one step computes, the loss, and what moves the statistics."""
    network, dtype = PrototypeNetwork(Architecture()), tf.keras.backend.floatx()
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
    found = {"classes": classes, "weights": weights, "mixed": mixed, "losses": losses}
    for name, encoded in (("batch", queries), ("cand", candidates)):
        found.update({f"{name}_{head}": getattr(encoded, head) for head in HEADS})
    return network, found, losses.total(1e-4), (queries.moments, candidates.moments)


def run(stored, training):
    with tf.Graph().as_default(), tf.Session() as session:
        network, found, total, moments = graph(stored, training)
        named = by_reference_name(network).items()
        trained = {name: weight for name, weight in named if weight.trainable}
        gradients = dict(zip(trained, tf.gradients(total, list(trained.values()))))
        assign(session, network, stored)
        found, gradients = session.run([found, gradients])
        if training:
            session.run(update_running_statistics(*moments))
        moving = {name: weight.read_value() for name, weight in named if "moving" in name}
        moving = session.run(moving)
    return SimpleNamespace(gradients=gradients, statistics=moving, **found)


@pytest.fixture(scope="module")
def ran(stored):
    return {"eval": run(stored, False), "train": run(stored, True)}


@pytest.fixture(scope="module")
def trained_exactly(stored):
    tf.keras.backend.set_floatx("float64")
    try:
        return run(stored, True)
    finally:
        tf.keras.backend.set_floatx("float32")


@pytest.fixture
def decided(stored):
    images = stored["raw_uint8"]
    queries = LabelledImages(images[:8], stored["batch_labels"])
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(Architecture())
        candidates = LabelledImages(images[8:], stored["cand_labels"])
        passes = PrototypePasses(network, candidates, batch=5)
        session.run(tf.local_variables_initializer())
        assign(session, network, stored)
        passes.fill(session)
        return passes.decide(session, queries)


@pytest.fixture
def sparsemax_with_slope(stored):
    with tf.Graph().as_default(), tf.Session() as session:
        logits = tf.constant(stored["sparsemax_in"])
        upstream, weights = tf.constant(stored["sparsemax_upstream"]), sparsemax(logits)
        return session.run([weights, tf.gradients(weights, logits, upstream)[0]])


@pytest.fixture
def projected():
    def found(logits):
        with tf.Graph().as_default(), tf.Session() as session:
            return session.run(project(tf.constant(logits)))

    return found


class TestParity(Parity):
    """See proto_parity."""


def test_the_network_has_exactly_the_references_weights(stored):
    with tf.Graph().as_default():
        assert set(by_reference_name(PrototypeNetwork(Architecture()))) == set(group(stored, "w"))


def test_standardisation_is_that_of_tensorflow(stored):
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.constant(stored["raw_uint8"])
        floats = tf.cast(images, tf.float32)
        theirs = tf.map_fn(tf.image.per_image_standardization, floats)
        constant = tf.constant(stored["standardize_const_in"][None].astype(np.uint8))
        ours, theirs, flat = session.run([standardised(images), theirs, standardised(constant)])
    assert np.abs(ours - theirs).max() < 1e-5
    assert np.abs(ours[:8] - stored["batch_images"]).max() < 1e-5
    assert np.abs(flat[0] - stored["standardize_const_out"]).max() < 1e-5


def test_five_steps_of_training_lose_what_the_reference_lost(stored, exact):
    with tf.Graph().as_default(), tf.Session() as session:
        network, _, total, _ = graph(stored, training=True)
        optimizer = tf.train.AdamOptimizer(1e-3)
        pairs = optimizer.compute_gradients(total, network.trainable_weights)
        clipped = [(tf.clip_by_value(gradient, -20, 20), weight) for gradient, weight in pairs]
        step = optimizer.apply_gradients(clipped)
        session.run(tf.global_variables_initializer())
        assign(session, network, stored)
        losses = [session.run([total, step])[0] for _ in range(5)]
    assert np.abs(np.array(losses) / exact["traj_loss"] - 1).max() < TRAJECTORY


# Checkpoints


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The Saver checkpoint as the reference writes it."""
    folder, name = tmp_path_factory.mktemp("published"), "tf1_ckpt_protoattend"
    with tarfile.open(str(FOLDER / (name + ".tar.xz"))) as archive:
        archive.extractall(str(folder))
    return folder / name / "main_protoattend.ckpt"


def test_the_references_checkpoint_gives_its_stored_outputs(stored, published):
    outputs = load_either(FOLDER / "tf1_ckpt_protoattend_outputs")
    with tf.Graph().as_default(), tf.Session() as session:
        network, found, _, _ = graph(stored, training=False)
        load_weights(session, network, find_weights(str(published)))
        found = session.run(found)
    for name in (SPARSEMAX, SOFTMAX):
        assert np.abs(found["weights"][name] - outputs[f"eval_{name}_weights"]).max() < WEIGHTS
        assert np.abs(found["mixed"][name] - outputs[f"eval_{name}_weighted"]).max() < ENCODED
    distance = np.abs(found["classes"]["self"] - outputs["eval_self_class_logits"]).max()
    assert distance < LOGITS


def load(prefix, architecture=None, encoder_alone=False):
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(architecture or Architecture())
        load_weights(session, network, find_weights(str(prefix)), encoder_alone)


def test_other_sizes_other_models_and_damage_are_one_clear_line(published, tmp_path):
    few = Architecture(classes=3)
    load(published, few, encoder_alone=True)
    with pytest.raises(ZooError, match="give the flags it was trained with"):
        load(published, few)
    with pytest.raises(ZooError, match="give the flags it was trained with"):
        load(published, Architecture(encoder="small"))
    for path in published.parent.glob(published.name + "*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (data,) = tmp_path.glob("*.data*")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ZooError, match="can't be read"):
        load(tmp_path / published.name)
    with tf.Graph().as_default(), tf.Session() as session:
        other = tf.Variable(1.0)
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Checkpoint(other=other).write(str(tmp_path / "other"), session=session)
    with pytest.raises(ZooError, match="holds no ProtoAttend network"):
        load(prefix)
