"""Signs of slots that do not specialise: what each says of attention, masks and slots."""

from __future__ import annotations

import numpy as np
import pytest

from common.training.tensorflow.runtime import tf
from slot_attention.diagnostics import attention_diagnostics, discovery_diagnostics

pytestmark = pytest.mark.tensorflow


def told(attention=None, masks=None, slots=None):
    """The diagnostics of one batch; what is not given is of three slots without a word to say."""
    attention = np.full((1, 4, 3), 1 / 3) if attention is None else attention
    masks = np.full((1, 3, 4, 4), 1 / 3) if masks is None else masks
    slots = np.eye(3)[None] if slots is None else slots
    with tf.Graph().as_default(), tf.Session() as session:
        parts = [tf.constant(part, tf.float32) for part in (attention, masks[..., None], slots)]
        return session.run(discovery_diagnostics(*parts))


@pytest.mark.parametrize(
    "attention, entropy",
    [
        (np.full((2, 9, 4), 0.25), 1.0),
        (np.eye(4)[None, [0, 1, 1, 3]], 0.0),
        (np.array([[[0.5, 0.5], [1.0, 0.0]]]), 0.5),
    ],
)
def test_entropy_is_1_without_a_preference_and_0_for_one_slot_each(attention, entropy):
    assert told(attention)["attention_entropy"] == pytest.approx(entropy, abs=1e-6)


def test_slots_in_use_own_a_share_of_the_pixels():
    masks = np.zeros((1, 3, 40, 40))
    masks[0, 0] = 0.5
    masks[0, 1, 0, :8] = 1  # 8 of 1,600 pixels: just enough
    masks[0, 2, 1, :7] = 1
    assert told(masks=masks)["slots_in_use"] == 2


def test_slots_that_share_one_object_are_duplicates_and_those_that_halve_it_are_not():
    masks = np.zeros((2, 3, 4, 4))
    masks[:, 0] = 1
    masks[0, :, 1:3, 1:3] = np.array([0, 0.5, 0.5])[:, None, None]  # shared
    masks[1, :, 1:3, 1:2] = np.array([0, 1, 0])[:, None, None]  # a half of it each
    masks[1, :, 1:3, 2:3] = np.array([0, 0, 1])[:, None, None]
    assert told(masks=masks)["duplicate_masks"] == 0.5  # one in the first image of two


def test_idle_slots_are_no_duplicates():
    masks = np.stack([np.full((8, 8), share) for share in (0.992, 0.004, 0.004)])[None]
    assert told(masks=masks)["duplicate_masks"] == 0


def test_similar_slots_are_pairs_of_one_direction_at_any_length():
    slots = np.array([[[1.0, 0, 0], [9, 0, 0], [-1, 0, 0]]])
    assert told(slots=slots)["similar_slots"] == 1


def test_one_slot_has_no_pairs():
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(attention_diagnostics(tf.ones([2, 9, 1]), tf.ones([2, 1, 8])))
    assert found == {"attention_entropy": 0.0, "similar_slots": 0.0}
