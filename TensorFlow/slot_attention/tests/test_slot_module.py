"""Options of the Slot Attention module that the reference has not."""

from __future__ import annotations

import numpy as np
import pytest

from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.runtime import tf
from slot_attention.network.architecture import SlotSettings
from slot_attention.network.slot_attention import SlotAttention

pytestmark = pytest.mark.tensorflow
INPUTS = np.random.RandomState(1).standard_normal((2, 12, 8)).astype(np.float32)
NOISE = np.random.RandomState(2).standard_normal((2, 3, 16)).astype(np.float32)


def _run(wanted, **settings):
    """What `wanted(module, slots, weights)` gives, all weights filled by name."""
    with tf.Graph().as_default(), tf.Session() as session:
        module = SlotAttention(SlotSettings(count=3, size=16, hidden=32, **settings))
        found = module(tf.constant(INPUTS), tf.constant(NOISE))
        weights = named_weights(module)
        for number, path in enumerate(sorted(weights)):
            shape = weights[path].shape.as_list()
            value = np.random.RandomState(number).standard_normal(shape) * 0.3
            session.run(weights[path].assign(value.astype(np.float32)))
        return session.run(wanted(found, weights))


def test_implicit_differentiation_leaves_the_forward_pass_as_it_is():
    plain, implicit = (
        _run(lambda found, weights: found.slots, implicit=value) for value in (False, True)
    )
    assert np.abs(plain - implicit).max() < 1e-6


def test_implicit_differentiation_changes_the_gradient():
    plain, implicit = (
        _run(_gradient("project_q/kernel"), implicit=value) for value in (False, True)
    )
    assert np.abs(plain - implicit).max() > 1e-3


def test_implicit_differentiation_is_the_gradient_of_the_last_iteration_alone():
    implicit = _run(_gradient("project_v/kernel"), implicit=True)
    whole = _run(_gradient("project_v/kernel"), implicit=False, iterations=3)
    assert np.linalg.norm(implicit) < np.linalg.norm(whole)


def test_learned_slots_get_their_gradient_straight_through_implicit_iterations():
    gradient = _run(_gradient("slots_initial"), initial="learned", implicit=True)
    assert np.linalg.norm(gradient) > 0


def test_learned_slots_are_one_vector_a_slot_and_need_no_noise():
    paths = _run(
        lambda found, weights: {path: tf.shape(weight) for path, weight in weights.items()},
        initial="learned",
    )
    assert list(paths["slots_initial"]) == [1, 3, 16]
    assert "slots_mu" not in paths


def test_attention_of_every_iteration_is_given_and_adds_up_over_slots():
    attention = _run(lambda found, weights: found.attention, iterations=2)
    assert len(attention) == 2
    assert np.allclose(np.sum(attention, axis=-1), 1, atol=1e-6)


def _gradient(path):
    return lambda found, weights: tf.gradients(tf.reduce_sum(found.slots**3), weights[path])[0]
