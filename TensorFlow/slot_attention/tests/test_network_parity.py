"""The networks against the reference: outputs, losses, gradients, steps, checkpoints; options."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from common.core.errors import ZooError
from common.training.stored_weights import find_weights
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import named_weights
from slot_attention.building import load_weights
from slot_attention.losses import best_matching, hungarian_huber_loss
from slot_attention.losses import reconstruction_loss as squared_error
from slot_attention.network.architecture import ARCHITECTURES, SlotSettings
from slot_attention.network.networks import SlotAttentionAutoEncoder, SlotAttentionClassifier
from slot_attention.network.slot_attention import SlotAttention
from tests.fixtures.packed_arrays import group, load
from tests.fixtures.slot_reference import (
    SLOTS,
    TASKS,
    arrays,
    arrays_of,
    published_checkpoints,
    require_gradients,
    require_outputs,
    require_trajectory,
)

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]

NAMES = ["autoencoder", "classifier"]


def autoencoder():
    return SlotAttentionAutoEncoder(ARCHITECTURES["clevr"], SlotSettings())


def classifier():
    return SlotAttentionClassifier(128, SlotSettings(count=10))


NETWORKS = {"autoencoder": autoencoder, "classifier": classifier}


def built(name, stored, noise):
    """A network over the reference's images: weights by name, output, loss."""
    network, image = NETWORKS[name](), tf.constant(stored["image"])
    output = network(image, noise)
    if name == "autoencoder":
        return named_weights(network), output, squared_error(image, output.combined)
    target = tf.constant(stored["target"])
    return named_weights(network), output, hungarian_huber_loss(target, output.predictions)


def assign(session, weights, stored):
    session.run([weights[path].assign(value) for path, value in group(stored, "w").items()])


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    """What a network with the reference's weights gives, and what the reference gave."""
    stored, exact = arrays_of(request.param)
    with tf.Graph().as_default(), tf.Session() as session:
        weights, output, loss = built(request.param, stored, tf.constant(stored["noise"]))
        gradients = tf.gradients(loss, list(weights.values()))
        assign(session, weights, stored)
        output, loss, values = session.run([output, loss, gradients])
    return SimpleNamespace(
        name=request.param,
        stored=stored,
        exact=exact,
        found=output._asdict(),
        loss=loss,
        gradients=dict(zip(weights, values)),
    )


def test_weights_outputs_and_loss_are_the_references(case):
    assert set(case.gradients) == set(group(case.stored, "w"))
    assert case.loss == pytest.approx(float(case.exact["loss"]), rel=1e-6, abs=3e-8)
    require_outputs(case.name, case.found, case.stored, case.exact)
    if case.name == "autoencoder":
        features = case.found["features"][:, :64]
        assert np.abs(features - case.stored["features_first64"]).max() < SLOTS


def test_gradients_are_the_references(case):
    require_gradients(case.gradients, case.exact)


@pytest.mark.parametrize(
    "name", [pytest.param("autoencoder", marks=pytest.mark.slow), "classifier"]
)
def test_five_steps_of_adam_in_float64_are_the_references(name):
    stored, exact = arrays_of(name)
    stored = {key: value.astype(np.float64) for key, value in stored.items()}
    tf.keras.backend.set_floatx("float64")
    try:
        with tf.Graph().as_default(), tf.Session() as session:
            noise = tf.placeholder(tf.float64, stored["noise"].shape)
            weights, _, loss = built(name, stored, noise)
            # As tensors: numbers would be rounded to float32, which changes 1 - 0.999 by 5e-5.
            rate, beta1, beta2 = (tf.constant(value, tf.float64) for value in (4e-4, 0.9, 0.999))
            train = tf.train.AdamOptimizer(rate, beta1, beta2, epsilon=1e-8).minimize(loss)
            session.run(tf.global_variables_initializer())
            assign(session, weights, stored)
            draws = stored["noise_traj"]
            losses = [session.run([loss, train], {noise: draw})[0] for draw in draws]
    finally:
        tf.keras.backend.set_floatx("float32")
    require_trajectory(losses, exact)


def evaluated(function, *values):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(function(*(tf.constant(value) for value in values)))


@pytest.mark.parametrize("prefix", ["", "wide_"])  # wide: fewer predictions than targets
def test_hungarian_huber_loss_is_the_references(prefix):
    stored = arrays("clevr_metrics")
    loss = evaluated(hungarian_huber_loss, stored[prefix + "target"], stored[prefix + "pred"])
    assert float(loss) == pytest.approx(float(stored[prefix + "huber_loss"]), rel=1e-6)


def test_costs_that_are_no_numbers_match_nothing():
    assert best_matching(np.full((1, 2, 2), np.nan)).sum() == 0


# Checkpoints


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return published_checkpoints(tmp_path_factory.mktemp("published"))


def loaded(folder, task, network, size=128, slots=(10, 64)):
    """What a network gives with a checkpoint's weights for its stored image, or zeros."""
    stored = folder / "outputs_public.npz"
    given = load(stored) if stored.exists() else {}
    image = given.get("image", np.zeros((1, size, size, 3), np.float32))
    noise = given.get("noise", np.zeros((1, *slots), np.float32))
    with tf.Graph().as_default(), tf.Session() as session:
        found = network(tf.constant(image), tf.constant(noise))
        load_weights(session, network, find_weights(str(folder)), task)
        return given, session.run(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_published_checkpoint_gives_what_it_gave_the_reference(published, name):
    stored, found = loaded(published[TASKS[name]], TASKS[name], NETWORKS[name]())
    require_outputs(name, found._asdict(), stored, stored)


def test_the_other_task_other_sizes_and_damage_are_one_clear_line(published, tmp_path):
    folder = published["set_prediction"]
    with pytest.raises(ZooError, match="is of set_prediction, not of object_discovery"):
        loaded(folder, "object_discovery", classifier())
    for path in folder.glob("ckpt-1*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "checkpoint").write_bytes((folder / "checkpoint").read_bytes())
    small = SlotAttentionClassifier(32, SlotSettings(count=3, size=32))
    with pytest.raises(ZooError, match="give the flags it was trained with"):
        loaded(tmp_path, "set_prediction", small, 32, (3, 32))
    data = tmp_path / "ckpt-1.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ZooError, match="can't be read"):
        loaded(tmp_path, "set_prediction", classifier())


# Options of the module that the reference has not


def module(wanted, **settings):
    """What `wanted(found, weights)` gives, all weights filled by name."""
    inputs = np.random.RandomState(1).standard_normal((2, 12, 8)).astype(np.float32)
    noise = np.random.RandomState(2).standard_normal((2, 3, 16)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        layer = SlotAttention(SlotSettings(count=3, size=16, hidden=32, **settings))
        found = layer(tf.constant(inputs), tf.constant(noise))
        weights = named_weights(layer)
        for number, path in enumerate(sorted(weights)):
            shape = weights[path].shape.as_list()
            value = np.random.RandomState(number).standard_normal(shape) * 0.3
            session.run(weights[path].assign(value.astype(np.float32)))
        return session.run(wanted(found, weights))


def gradient(path):
    return lambda found, weights: tf.gradients(tf.reduce_sum(found.slots**3), weights[path])[0]


def test_implicit_differentiation_takes_the_gradient_of_the_last_iteration_alone():
    plain, implicit = (
        module(lambda found, weights: found.slots, implicit=value) for value in (False, True)
    )
    assert np.abs(plain - implicit).max() < 1e-6
    whole, last = (module(gradient("project_v/kernel"), implicit=value) for value in (False, True))
    assert np.linalg.norm(last) < np.linalg.norm(whole)
    learned = module(gradient("slots_initial"), initial="learned", implicit=True)
    assert np.linalg.norm(learned) > 0  # straight through all iterations


def test_learned_slots_are_one_vector_a_slot_and_need_no_noise():
    def shapes(found, weights):
        return {path: tf.shape(weight) for path, weight in weights.items()}

    paths = module(shapes, initial="learned")
    assert list(paths["slots_initial"]) == [1, 3, 16] and "slots_mu" not in paths
