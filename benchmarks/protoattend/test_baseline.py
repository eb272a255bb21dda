"""The baseline computes what the reference computes, so a ratio to it means something."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.packed_arrays import dot_vector, group
from tests.fixtures.proto_reference import (
    ENCODED,
    GRADIENT_DOT,
    GRADIENT_NORM,
    LOSS,
    SPARSITY,
    TRAJECTORY,
    WEIGHTS,
    in_float32,
    in_float64,
)

pytest.importorskip("tensorflow")

from benchmarks.protoattend import baseline  # noqa: E402
from benchmarks.protoattend.baseline import tf  # noqa: E402

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]

STATISTICS = 2e-5


@pytest.fixture(scope="module")
def stored():
    return in_float32()


@pytest.fixture(scope="module")
def exact():
    return in_float64()


class Reproduction:
    """The training graph on the fixture's images, with its weights."""

    def __init__(self, stored):
        names = "batch_images", "batch_labels", "cand_images"
        self.batch, labels, self.cand = (tf.constant(stored[name]) for name in names)
        self.step = baseline.build_step(self.batch, labels, self.cand)
        self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        kept = [one for one in tf.global_variables() if "/moving_" in one.op.name]
        kept += tf.trainable_variables()
        self.variables = {variable.op.name: variable for variable in kept}
        self.session = tf.Session()
        self._first = tf.global_variables_initializer()
        weights = self.variables.items()
        self._weights = [variable.assign(stored["w:" + name]) for name, variable in weights]

    def run(self, fetches):
        """Fetches from the state before the first step."""
        self.session.run(self._first)
        self.session.run(self._weights)
        return self.session.run(fetches)

    def moved(self, operations):
        """The moving averages after operations on the state before the first step."""
        self.run(operations)
        moving = {name: one for name, one in self.variables.items() if "/moving_" in name}
        return self.session.run(moving)


@pytest.fixture(scope="module")
def reproduction(stored):
    with tf.Graph().as_default():
        found = Reproduction(stored)
        yield found
        found.session.close()


def test_the_variables_are_the_references(reproduction, stored):
    variables = reproduction.variables.items()
    shapes = {name: tuple(variable.shape.as_list()) for name, variable in variables}
    assert shapes == {name: value.shape for name, value in group(stored, "w").items()}


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("images", ["batch", "cand"])
def test_keys_queries_and_values_are_the_references(reproduction, stored, mode, images):
    encoded = baseline.encode(getattr(reproduction, images), training=mode == "train")
    for name, value in zip(("keys", "queries", "values"), reproduction.run(encoded)):
        assert np.abs(value - stored[f"{mode}_{images}_{name}"]).max() < ENCODED, name


def test_sparsemax_its_gradient_and_attention_weights_are_the_references(stored):
    with tf.Graph().as_default(), tf.Session() as session:
        logits = tf.constant(stored["sparsemax_in"])
        weights = baseline.sparsemax(logits)
        (gradient,) = tf.gradients(weights, logits, stored["sparsemax_upstream"])
        given = (stored["train_" + name] for name in ("batch_queries", "cand_keys", "cand_values"))
        found = session.run([weights, gradient, baseline.attend(*map(tf.constant, given))[1]])
    names = ("sparsemax_out", "sparsemax_grad", "train_sparsemax_weights")
    for name, value, allowed in zip(names, found, (1e-6, 1e-6, WEIGHTS)):
        assert np.abs(value - stored[name]).max() < allowed, name


def test_losses_are_the_references(reproduction, exact):
    losses = reproduction.step.losses
    names = {"joint": losses.joint, "self": losses.own, "weighted": losses.mixed}
    names.update(sparsity=losses.sparsity, total=losses.total)
    for name, found in reproduction.run(names).items():
        tolerance = SPARSITY if name == "sparsity" else LOSS
        assert float(found) == pytest.approx(float(exact["train_loss_" + name]), abs=tolerance)


def test_gradients_are_the_references(reproduction, exact):
    found = reproduction.run(reproduction.step.gradients)
    norms, dots = group(exact, "gradnorm"), group(exact, "graddot")
    assert set(found) == set(norms)
    for name, gradient in found.items():
        norm, dot = float(norms[name]), float(dots[name])
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=GRADIENT_NORM), name
        distance = abs(float(np.sum(gradient * dot_vector(name, gradient.shape))) - dot)
        assert distance < GRADIENT_DOT * (abs(dot) + norm), name


def test_a_step_moves_the_averages_by_both_batches(reproduction, stored):
    half = len(reproduction.updates) // 2
    before = group(stored, "w")
    of_queries = reproduction.moved(reproduction.updates[:half])
    of_candidates = reproduction.moved(reproduction.updates[half:])
    after = reproduction.moved([reproduction.step.train])
    for name, wanted in group(stored, "bn_after1").items():
        # The reference leaves open which batch comes first, or whether both begin at once.
        begin, one, other = before[name], of_queries[name], of_candidates[name]
        orders = [
            one * 0.9 + other - begin * 0.9,
            other * 0.9 + one - begin * 0.9,
            one + other - begin,
        ]
        tolerance = STATISTICS * np.abs(wanted).max()
        for value, allowed in ((wanted, orders[:2]), (after[name], orders)):
            assert min(np.abs(value - order).max() for order in allowed) < tolerance, name


def test_five_steps_lose_what_the_reference_loses(reproduction, exact):
    fetches = [reproduction.step.losses.total, reproduction.step.train]
    found = [float(reproduction.run(fetches)[0])]
    found += [float(reproduction.session.run(fetches)[0]) for _ in range(4)]
    assert found == pytest.approx(exact["traj_loss"].tolist(), rel=TRAJECTORY)
