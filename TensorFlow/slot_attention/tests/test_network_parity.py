"""The networks against the reference implementation: outputs, losses, gradients, five steps."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple

import numpy as np
import pytest
from fixture_arrays import arrays, dot_vector, group, sampled

from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.runtime import tf
from slot_attention.losses import huber_cost, hungarian_huber_loss, reconstruction_loss
from slot_attention.matching import best_matching
from slot_attention.network.architecture import ARCHITECTURES, SlotSettings
from slot_attention.network.autoencoder import SlotAttentionAutoEncoder
from slot_attention.network.set_predictor import SlotAttentionClassifier

pytestmark = pytest.mark.tensorflow

# Three times the distances observed between correct implementations.
SLOTS, MASKS, RECONSTRUCTION, PREDICTIONS = 1.5e-5, 4.8e-6, 3e-6, 1.2e-6
GRADIENT_NORM, GRADIENT_DOT = 2.4e-4, 6e-4
# In float64. A step of torch's Adam, with its epsilon elsewhere, is 2.5e-5 away, epsilon 1e-7 1e-4.
TRAJECTORY = 1e-5
# Its true gradient is zero (softmax over slots ignores a shift): what is computed is noise.
WITHOUT_GRADIENT = "slot_attention/norm_slots/beta"


class Built(NamedTuple):
    """A network over the reference's images, in the graph that is the default."""

    weights: Dict[str, Any]
    output: Any
    loss: Any


class Case(NamedTuple):
    """What a network with the reference's weights gives, and what the reference gave."""

    stored: Dict[str, np.ndarray]
    exact: Dict[str, np.ndarray]
    outputs: Any
    loss_value: float
    gradients: Dict[str, np.ndarray]


def _autoencoder(stored, noise):
    network = SlotAttentionAutoEncoder(ARCHITECTURES["clevr"], SlotSettings())
    image = tf.constant(stored["image"])
    output = network(image, noise)
    return Built(named_weights(network), output, reconstruction_loss(image, output.combined))


def _classifier(stored, noise):
    network = SlotAttentionClassifier(128, SlotSettings(count=10))
    output = network(tf.constant(stored["image"]), noise)
    loss = hungarian_huber_loss(tf.constant(stored["target"]), output.predictions)
    return Built(named_weights(network), output, loss)


BUILD = {"autoencoder": _autoencoder, "classifier": _classifier}


def _load(session, built, stored):
    session.run([built.weights[path].assign(value) for path, value in group(stored, "w").items()])


def _case(name):
    stored, exact = (arrays("slot_attention_" + name + end) for end in ("", "_f64ref"))
    with tf.Graph().as_default(), tf.Session() as session:
        built = BUILD[name](stored, tf.constant(stored["noise"]))
        gradients = tf.gradients(built.loss, list(built.weights.values()))
        _load(session, built, stored)
        outputs, loss, values = session.run([built.output, built.loss, gradients])
    return Case(stored, exact, outputs, loss, dict(zip(built.weights, values)))


@pytest.fixture(scope="module")
def autoencoder():
    return _case("autoencoder")


@pytest.fixture(scope="module")
def classifier():
    return _case("classifier")


def test_autoencoder_has_exactly_the_references_weights(autoencoder):
    assert set(autoencoder.gradients) == set(group(autoencoder.stored, "w"))


def test_classifier_has_exactly_the_references_weights(classifier):
    assert set(classifier.gradients) == set(group(classifier.stored, "w"))


def test_autoencoder_gives_the_references_slots(autoencoder):
    assert np.abs(autoencoder.outputs.slots - autoencoder.exact["slots"]).max() < SLOTS


def test_autoencoder_gives_the_references_features(autoencoder):
    ours = autoencoder.outputs.features[:, :64]
    assert np.abs(ours - autoencoder.stored["features_first64"]).max() < SLOTS


def test_autoencoder_gives_the_references_masks(autoencoder):
    ours = sampled(autoencoder.outputs.masks)
    assert np.abs(ours - autoencoder.stored["masks"]).max() < MASKS


def test_autoencoder_gives_the_references_reconstruction(autoencoder):
    ours = sampled(autoencoder.outputs.combined)
    assert np.abs(ours - autoencoder.stored["recon_combined"]).max() < RECONSTRUCTION


def test_autoencoder_gives_the_references_loss(autoencoder):
    assert abs(autoencoder.loss_value - autoencoder.exact["loss"]) < 3e-8


def test_classifier_gives_the_references_predictions(classifier):
    ours = classifier.outputs.predictions
    assert np.abs(ours - classifier.exact["predictions"]).max() < PREDICTIONS


def test_classifier_gives_the_references_loss(classifier):
    assert classifier.loss_value == pytest.approx(float(classifier.exact["loss"]), rel=1e-6)


@pytest.mark.parametrize("name", ["autoencoder", "classifier"])
def test_gradient_norms_are_the_references(name, request):
    case = request.getfixturevalue(name)
    for path, norm in group(case.exact, "gradnorm").items():
        if path != WITHOUT_GRADIENT:
            ours = np.linalg.norm(case.gradients[path].astype(np.float64))
            assert ours == pytest.approx(float(norm), rel=GRADIENT_NORM), path


@pytest.mark.parametrize("name", ["autoencoder", "classifier"])
def test_gradients_lie_as_the_references(name, request):
    case = request.getfixturevalue(name)
    norms = group(case.exact, "gradnorm")
    for path, dot in group(case.exact, "graddot").items():
        if path != WITHOUT_GRADIENT:
            gradient = case.gradients[path].astype(np.float64)
            ours = np.sum(gradient * dot_vector(path, gradient.shape))
            assert abs(ours - dot) < GRADIENT_DOT * (abs(float(dot)) + float(norms[path])), path


def test_pairwise_cost_is_the_references(classifier):
    cost = _evaluate(huber_cost, classifier.stored["target"], classifier.stored["predictions"])
    assert np.abs(cost - classifier.stored["pairwise_cost"]).max() < 1e-7


def test_matching_costs_what_the_references_matching_costs(classifier):
    cost = classifier.exact["pairwise_cost"]
    theirs = sum(
        cost[image][tuple(pair)].sum() for image, pair in enumerate(classifier.stored["matching"])
    )
    assert (cost * best_matching(cost)).sum() == pytest.approx(theirs, rel=1e-12)


def test_hungarian_huber_loss_is_the_references():
    stored = arrays("clevr_metrics")
    loss = _evaluate(hungarian_huber_loss, stored["target"], stored["pred"])
    assert float(loss) == pytest.approx(float(stored["huber_loss"]), rel=1e-6)


def test_fewer_predictions_than_targets_are_matched_as_the_reference_does():
    stored = arrays("clevr_metrics")
    loss = _evaluate(hungarian_huber_loss, stored["wide_target"], stored["wide_pred"])
    assert float(loss) == pytest.approx(float(stored["wide_huber_loss"]), rel=1e-6)


def test_costs_that_are_no_numbers_match_nothing():
    assert best_matching(np.full((1, 2, 2), np.nan)).sum() == 0


def _evaluate(function, *values):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(function(*(tf.constant(value) for value in values)))


@pytest.fixture
def double_precision():
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


@pytest.mark.parametrize(
    "name", [pytest.param("autoencoder", marks=pytest.mark.slow), "classifier"]
)
def test_five_steps_of_adam_in_float64_are_the_references(name, double_precision):
    stored, exact = (arrays("slot_attention_" + name + end) for end in ("", "_f64ref"))
    stored = {key: value.astype(np.float64) for key, value in stored.items()}
    with tf.Graph().as_default(), tf.Session() as session:
        noise = tf.placeholder(tf.float64, stored["noise"].shape)
        built = BUILD[name](stored, noise)
        # As tensors: numbers would be rounded to float32 first, which changes 1 - 0.999 by 5e-5.
        rate, beta1, beta2 = (tf.constant(value, tf.float64) for value in (4e-4, 0.9, 0.999))
        train = tf.train.AdamOptimizer(rate, beta1, beta2, epsilon=1e-8).minimize(built.loss)
        session.run(tf.global_variables_initializer())
        _load(session, built, stored)
        losses = [
            session.run([built.loss, train], {noise: draw})[0] for draw in stored["noise_traj"]
        ]
    assert np.abs(np.array(losses) / exact["traj_loss"] - 1).max() < TRAJECTORY
