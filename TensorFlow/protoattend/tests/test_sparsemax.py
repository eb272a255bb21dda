"""Sparsemax: the reference's values and gradients, and what makes a projection one."""

from __future__ import annotations

import numpy as np
import pytest
from proto_fixtures import arrays

from common.training.tensorflow.runtime import tf
from protoattend.network.sparsemax import project, sparsemax

pytestmark = pytest.mark.tensorflow


def _weights(logits, largest=None):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(project(tf.constant(logits), largest))


def test_values_are_the_references():
    stored = arrays("protoattend_public")
    found = _weights(stored["sparsemax_in"]).weights
    assert np.abs(found - stored["sparsemax_out"]).max() < 1e-6


def test_gradients_are_the_references():
    stored = arrays("protoattend_public")
    with tf.Graph().as_default(), tf.Session() as session:
        logits = tf.constant(stored["sparsemax_in"])
        (gradient,) = tf.gradients(
            sparsemax(logits), logits, tf.constant(stored["sparsemax_upstream"])
        )
        found = session.run(gradient)
    assert np.abs(found - stored["sparsemax_grad"]).max() < 1e-5


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 100.0])
def test_rows_of_a_thousand_candidates_sum_to_one(scale):
    logits = np.random.RandomState(0).standard_normal((64, 1024)).astype(np.float32) * scale
    weights = _weights(logits).weights
    assert weights.min() >= 0
    assert np.abs(weights.sum(axis=1, dtype=np.float64) - 1).max() < 2e-6 * max(1, scale)


def test_large_logits_that_hardly_differ_sum_to_one():
    drawn = np.random.RandomState(4).uniform(-0.002, 0.002, (8, 32768))
    logits = (25 + drawn).astype(np.float32)
    weights = _weights(logits).weights
    assert np.abs(weights.sum(axis=1, dtype=np.float64) - 1).max() < 1e-4
    exact = _weights(logits.astype(np.float64)).weights
    assert np.abs(weights - exact).max() < 1e-6


def test_no_point_of_the_simplex_is_nearer():
    logits = np.random.RandomState(1).standard_normal((1, 6))
    weights = _weights(logits).weights
    others = np.random.RandomState(2).dirichlet(np.full(6, 0.5), 2000)
    assert np.linalg.norm(weights - logits) <= np.linalg.norm(others - logits, axis=1).min()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_with_a_value_that_is_no_number_becomes_nan_and_no_other(bad):
    logits = np.zeros((2, 5), np.float32)
    logits[0, 3] = bad
    weights = _weights(logits).weights
    assert np.isnan(weights[0]).all()
    assert np.allclose(weights[1], 0.2)


def test_looking_at_enough_of_the_largest_is_exact():
    logits = np.random.RandomState(3).standard_normal((16, 300)).astype(np.float32) * 3
    whole, part = _weights(logits), _weights(logits, 32)
    assert whole.support.max() < 32
    assert np.array_equal(whole.weights, part.weights)
    assert np.array_equal(whole.ordered[:, :32], part.ordered)


def test_looking_at_too_few_shows_in_the_support():
    assert _weights(np.zeros((2, 9), np.float32), 4).support.tolist() == [4, 4]


def test_the_order_is_that_of_the_weights():
    found = _weights(np.array([[0.1, 0.9, 0.5]], np.float32))
    assert found.rows[0].tolist() == [1, 2, 0]
    assert np.array_equal(found.ordered[0], found.weights[0][found.rows[0]])
