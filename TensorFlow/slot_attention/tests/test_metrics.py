"""Average precision, ARI and overlap against the references' values and plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slot_attention.metrics.average_precision import average_precision
from slot_attention.metrics.segmentation import (
    adjusted_rand_index,
    mean_best_overlap,
    one_hot,
)
from tests.fixtures.packed_arrays import load

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "slot_attention"

# Average precision


def one(coordinates, confidence=1.0, color=0):
    """One small rubber cube."""
    element = np.zeros(19, np.float32)
    element[:3], element[[3, 5, 7, 10 + color]], element[18] = coordinates, 1, confidence
    return element


@pytest.mark.parametrize(
    "prediction, images, name",
    [("pred", 32, "ap"), ("pred_6slots", 8, "ap_6slots"), ("pred_perfect", 4, "ap_perfect")],
)
def test_average_precision_is_the_references(prediction, images, name):
    stored = load(FIXTURES / "clevr_metrics_public.npz")
    targets = stored["target"][:images]
    ours = average_precision(stored[prediction], targets, stored["thresholds"])
    np.testing.assert_allclose(ours, stored[name], rtol=0, atol=1e-15)
    assert average_precision(stored[prediction], targets, [-1])[0] == ours[0]  # no threshold


MIDDLE = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "targets, predictions, threshold, precision",
    [
        # At the threshold is too far: 3 units, exactly in float32.
        ([one((0.25, 0.5, 0.5))], [one((0.75, 0.5, 0.5))], 3.0, 0),
        ([one((0.25, 0.5, 0.5))], [one((0.75, 0.5, 0.5))], 3.001, 1),
        # An object found twice makes the second wrong though another is near.
        (
            [one(MIDDLE), one((0.52, 0.5, 0.5))],
            [one(MIDDLE, 0.9), one((0.505, 0.5, 0.5), 0.8)],
            1.0,
            0.5,
        ),
        # A miss by distance leaves the object to a later prediction.
        ([one(MIDDLE)], [one((0.9, 0.5, 0.5), 0.9), one(MIDDLE, 0.8)], 1.0, 0.5),
        ([one(MIDDLE)], [one((0.9, 0.5, 0.5), 0.9), one(MIDDLE, 0.8)], np.inf, 1),
        # Padding is never found.
        (
            [one((0.1, 0.5, 0.5), color=3), one(MIDDLE, confidence=0)],
            [one(MIDDLE, 0.9), one((0.1, 0.5, 0.5), 0.8, color=3)],
            np.inf,
            0.5,
        ),
        # Without real objects it is nan.
        ([np.zeros(19, np.float32)] * 2, [one(MIDDLE)], 1.0, np.nan),
    ],
)
def test_the_rule_of_the_reference(targets, predictions, threshold, precision):
    found = average_precision(np.stack(predictions)[None], np.stack(targets)[None], [threshold])
    np.testing.assert_array_equal(found, [precision])


# Segmentation


def one_image(labels, groups):
    """Masks (1, groups, pixels) of one image from the group of each pixel."""
    return np.eye(groups)[labels].T[None]


def random_masks(seed, images=6, entities=5, slots=7):
    random = np.random.RandomState(seed)
    true = one_hot(random.standard_normal((images, entities, 12, 9)))
    return true, random.dirichlet(np.ones(slots), (images, 12, 9)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("foreground_only", [False, True])
def test_index_is_deepminds_and_scikit_learns(foreground_only):
    stored = load(FIXTURES / "ari_public.npz")
    true, predicted = (stored[name].transpose(0, 2, 1) for name in ("true_mask", "pred_mask"))
    ours = adjusted_rand_index(true, predicted, foreground_only)
    end = "_fg" if foreground_only else ""
    # Deepmind's is float32, and counts images without foreground where one slot has all pixels.
    counted = true[:, 1:].any(axis=(1, 2)) | (not foreground_only)
    np.testing.assert_allclose(ours[counted], stored["ari" + end][counted], rtol=0, atol=2e-7)
    np.testing.assert_allclose(ours, stored["sklearn" + end], rtol=0, atol=1e-14)


def test_soft_index_uses_the_expected_pairs_of_pixels_that_draw_their_slots():
    true, labels = one_image([0, 0, 1, 1], 2), [0, 0, 1, 1]
    predicted = np.array([[[0.9, 0.8, 0.3, 0.1], [0.1, 0.2, 0.7, 0.9]]])
    chances = predicted[0].T
    together = [(i, j) for i in range(4) for j in range(4) if i != j]
    both = sum(chances[i] @ chances[j] for i, j in together if labels[i] == labels[j])
    found, truly, pairs = sum(chances[i] @ chances[j] for i, j in together), 4, 12
    expected = truly * found / pairs
    index = (both - expected) / ((truly + found) / 2 - expected)
    ours = adjusted_rand_index(true, predicted, False, binarised=False)
    assert ours[0] == pytest.approx(index, rel=1e-13)
    true, predicted = random_masks(seed=3)
    hard = one_hot(predicted)
    soft = adjusted_rand_index(true, hard, True, binarised=False)
    np.testing.assert_array_equal(soft, adjusted_rand_index(true, hard, True))


@pytest.mark.parametrize(
    "labels, slots, index",
    [
        ([0, 0, 0, 0], [0, 0, 0, 0], np.nan),  # no foreground
        ([0, 0, 0, 0], [0, 1, 0, 1], np.nan),
        ([0, 2, 2, 0], [0, 1, 1, 1], 1),  # one object found as one slot
        ([1] * 4, [0, 1, 2, 2], 0),  # one object spread over several slots
        ([1] * 16384, [0, 1] + [2] * 16382, 0),
        ([0, 1, 0], [0, 1, 1], 1),  # one pixel of foreground
    ],
)
def test_degenerate_images_give_exact_values(labels, slots, index):
    found = adjusted_rand_index(one_image(labels, 3), one_image(slots, 3), True)
    np.testing.assert_array_equal(found, [index])


def test_best_overlap_takes_each_objects_best_slot():
    true = one_image([0, 0, 1, 1, 2, 2, 2, 2], 4)  # the fourth entity has no pixel
    slots = one_image([0, 0, 0, 1, 1, 1, 1, 1], 2)
    # Object 1: 1 of 4 with slot 0, 1 of 6 with slot 1. Object 2: 4 of 5 with slot 1.
    assert mean_best_overlap(true, slots)[0] == pytest.approx((1 / 4 + 4 / 5) / 2, rel=1e-15)
    true, _ = random_masks(seed=7)
    np.testing.assert_array_equal(mean_best_overlap(true, true), np.ones(len(true)))
    assert np.isnan(mean_best_overlap(one_image([0, 0], 3), one_image([0, 1], 2))[0])
