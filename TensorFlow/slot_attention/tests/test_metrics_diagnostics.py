"""Attention entropy, slots in use, duplicate slots."""

from __future__ import annotations

import numpy as np
import pytest

from slot_attention.metrics.diagnostics import (
    attention_entropy,
    duplicate_masks,
    similar_slots,
    slots_in_use,
)


def test_attention_that_prefers_no_slot_has_entropy_one():
    assert attention_entropy(np.full((2, 9, 4), 0.25)) == pytest.approx([1, 1], rel=1e-14)


def test_attention_that_gives_each_input_to_one_slot_has_entropy_zero():
    assert attention_entropy(np.eye(4, dtype=np.float32)[None, [0, 1, 1, 3]]).tolist() == [0]


def test_entropy_is_the_mean_over_inputs():
    attention = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert attention_entropy(attention) == pytest.approx(0.5, rel=1e-14)


def test_entropy_keeps_all_axes_before_the_inputs():
    assert attention_entropy(np.full((3, 2, 9, 4), 0.25)).shape == (3, 2)


def test_slots_in_use_own_at_least_the_share():
    masks = np.zeros((1, 4, 10, 10, 1), np.float32)
    masks[0, 0] = 0.5
    masks[0, 1, 0] = 1  # 10 of 100 pixels
    masks[0, 2, 1, :9] = 1  # 9 of 100
    assert slots_in_use(masks, least_share=0.1).tolist() == [2]
    assert slots_in_use(masks, least_share=0.09).tolist() == [3]


def test_slots_that_halve_one_object_are_duplicates():
    masks = np.zeros((2, 3, 4, 4))
    masks[:, 0] = 1
    masks[0, :, 1:3, 1:3] = np.array([0, 0.5, 0.5])[:, None, None]  # shared
    masks[1, :, 1:3, 1:2] = np.array([0, 1, 0])[:, None, None]  # a half of it each
    masks[1, :, 1:3, 2:3] = np.array([0, 0, 1])[:, None, None]
    assert duplicate_masks(masks).tolist() == [1, 0]


def test_overlap_of_soft_masks_is_minima_over_maxima():
    masks = np.array([[[0.75, 0.25], [0.25, 0.75]]])  # minima 0.5, maxima 1.5
    assert duplicate_masks(masks, least_overlap=0.33).tolist() == [1]
    assert duplicate_masks(masks, least_overlap=0.34).tolist() == [0]


def test_idle_slots_are_no_duplicates():
    masks = np.stack([np.full((8, 8), share) for share in (0.992, 0.004, 0.004)])[None]
    assert duplicate_masks(masks, least_share=0.005).tolist() == [0]
    assert duplicate_masks(masks, least_share=0.003).tolist() == [1]


def test_similar_slots_are_pairs_of_one_direction_at_any_length():
    slots = np.array([[[1.0, 0, 0], [9, 0, 0], [0, 1, 0], [0, 0, 0], [-1, 0, 0]]])
    assert similar_slots(slots).tolist() == [1]
