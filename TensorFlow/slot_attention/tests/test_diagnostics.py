"""The diagnostics of the training graph against their definitions in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from common.training.tensorflow.runtime import tf
from slot_attention.diagnostics import attention_diagnostics, discovery_diagnostics
from slot_attention.metrics import diagnostics as defined

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def arrays():
    stream = np.random.RandomState(0)
    attention = stream.dirichlet(np.full(4, 0.3), (3, 25)).astype(np.float32)
    masks = stream.dirichlet(np.full(4, 0.2), (3, 36)).astype(np.float32)
    masks[0, :, 1] = masks[0, :, 0]  # two slots that explain the same pixels
    slots = stream.standard_normal((3, 4, 8)).astype(np.float32)
    slots[1, 2] = 2 * slots[1, 0]
    masks = masks.transpose(0, 2, 1).reshape(3, 4, 6, 6, 1)
    return attention, masks / masks.sum(axis=1, keepdims=True), slots


@pytest.fixture(scope="module")
def values(arrays):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(discovery_diagnostics(*(tf.constant(part) for part in arrays)))


def test_attention_entropy_is_as_defined(arrays, values):
    expected = defined.attention_entropy(arrays[0]).mean()
    assert values["attention_entropy"] == pytest.approx(expected, abs=1e-6)


def test_slots_in_use_are_as_defined(arrays, values):
    assert values["slots_in_use"] == pytest.approx(defined.slots_in_use(arrays[1]).mean(), abs=1e-6)


def test_duplicate_masks_are_as_defined_and_found(arrays, values):
    expected = defined.duplicate_masks(arrays[1]).mean()
    assert expected > 0
    assert values["duplicate_masks"] == pytest.approx(expected, abs=1e-6)


def test_similar_slots_are_as_defined_and_found(arrays, values):
    expected = defined.similar_slots(arrays[2]).mean()
    assert expected > 0
    assert values["similar_slots"] == pytest.approx(expected, abs=1e-6)


def test_one_slot_has_no_pairs():
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(attention_diagnostics(tf.ones([2, 9, 1]), tf.ones([2, 1, 8])))
    assert found == {"attention_entropy": 0.0, "similar_slots": 0.0}
