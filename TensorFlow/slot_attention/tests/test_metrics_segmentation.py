"""ARI, FG-ARI, mean best overlap and reconstruction error, against scikit-learn and deepmind's."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
import pytest

from common.core.errors import ZooError
from slot_attention.metrics.segmentation import (
    adjusted_rand_index,
    mean_best_overlap,
    one_hot,
    reconstruction_error,
)

FIXTURE = (
    Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "slot_attention" / "ari_public.npz"
)


@pytest.fixture(scope="module")
def fixture() -> Dict[str, np.ndarray]:
    with np.load(str(FIXTURE)) as arrays:
        return {name: arrays[name] for name in arrays.files}


def groups_first(masks: np.ndarray) -> np.ndarray:
    return masks.transpose(0, 2, 1)


def one_image(labels: list, groups: int) -> np.ndarray:
    """Masks (1, groups, pixels) of one image from the group of each pixel."""
    return np.eye(groups)[labels].T[None]


def random_masks(seed: int, images: int = 6, entities: int = 5, slots: int = 7) -> tuple:
    random = np.random.RandomState(seed)
    true = one_hot(random.standard_normal((images, entities, 12, 9)))
    return true, random.dirichlet(np.ones(slots), (images, 12, 9)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("foreground_only, name", [(False, "ari"), (True, "ari_fg")])
def test_binarised_index_is_deepminds(fixture, foreground_only, name):
    ours = adjusted_rand_index(
        groups_first(fixture["true_mask"]), groups_first(fixture["pred_mask"]), foreground_only
    )
    assert ours.dtype == np.float64
    # Theirs is float32, and counts images without foreground where one slot has all pixels.
    empty = foreground_only & ~fixture["true_mask"][:, :, 1:].any(axis=(1, 2))
    np.testing.assert_allclose(ours[~empty], fixture[name][~empty], rtol=0, atol=2e-7)


@pytest.mark.parametrize("foreground_only, name", [(False, "sklearn"), (True, "sklearn_fg")])
def test_binarised_index_is_scikit_learns_in_the_fixture(fixture, foreground_only, name):
    ours = adjusted_rand_index(
        groups_first(fixture["true_mask"]), groups_first(fixture["pred_mask"]), foreground_only
    )
    np.testing.assert_allclose(ours, fixture[name], rtol=0, atol=1e-14)


@pytest.mark.parametrize("foreground_only", [False, True])
def test_index_is_scikit_learns_on_random_masks(foreground_only):
    cluster = pytest.importorskip("sklearn.metrics.cluster")
    true, predicted = random_masks(seed=1)
    ours = adjusted_rand_index(true, predicted, foreground_only)
    for image in range(len(true)):
        labels, slots = true[image].argmax(0).ravel(), predicted[image].argmax(0).ravel()
        counted = labels > 0 if foreground_only else labels >= 0
        theirs = cluster.adjusted_rand_score(labels[counted], slots[counted])
        assert ours[image] == pytest.approx(theirs, rel=0, abs=1e-14)


def test_pair_counts_of_a_large_image_are_exact():
    cluster = pytest.importorskip("sklearn.metrics.cluster")
    random = np.random.RandomState(2)
    labels, slots = random.randint(0, 2, (2, 512 * 512))
    slots[labels == 1] = 1
    ours = adjusted_rand_index(np.eye(2)[labels].T[None], np.eye(2)[slots].T[None], False)
    assert ours[0] == pytest.approx(cluster.adjusted_rand_score(labels, slots), rel=1e-13)


def test_soft_index_of_masks_of_zero_and_one_is_the_binarised_one():
    true, predicted = random_masks(seed=3)
    hard = one_hot(predicted)
    soft = adjusted_rand_index(true, hard, True, binarised=False)
    np.testing.assert_array_equal(soft, adjusted_rand_index(true, hard, True))


def test_soft_index_uses_the_expected_pairs_of_pixels_that_draw_their_slots():
    true = one_image([0, 0, 1, 1], 2)
    predicted = np.array([[[0.9, 0.8, 0.3, 0.1], [0.1, 0.2, 0.7, 0.9]]])
    chances, labels = predicted[0].T, np.array([0, 0, 1, 1])
    together = [(i, j) for i in range(4) for j in range(4) if i != j]
    both = sum(chances[i] @ chances[j] for i, j in together if labels[i] == labels[j])
    found, truly, pairs = sum(chances[i] @ chances[j] for i, j in together), 4, 12
    expected = truly * found / pairs
    index = (both - expected) / ((truly + found) / 2 - expected)
    ours = adjusted_rand_index(true, predicted, False, binarised=False)
    assert ours[0] == pytest.approx(index, rel=1e-13)


def test_soft_masks_that_hesitate_score_below_their_binarised_ones():
    true = one_image([0, 0, 1, 1], 2)
    predicted = 0.6 * true + 0.4 * true[:, ::-1]
    assert adjusted_rand_index(true, predicted, False)[0] == 1
    assert adjusted_rand_index(true, predicted, False, binarised=False)[0] < 0.2


@pytest.mark.parametrize("slots", [[0, 0, 0, 0], [0, 1, 0, 1]])
def test_image_without_foreground_gives_nan(slots):
    true = one_image([0, 0, 0, 0], 3)
    assert np.isnan(adjusted_rand_index(true, one_image(slots, 2), True)[0])


@pytest.mark.parametrize("entity", [1, 2])
def test_one_object_found_as_one_slot_gives_one(entity):
    true = one_image([0, entity, entity, 0], 3)
    assert adjusted_rand_index(true, one_image([0, 1, 1, 1], 2), True)[0] == 1


@pytest.mark.parametrize("pixels", [4, 16384])
def test_one_object_spread_over_several_slots_gives_zero(pixels):
    true = one_image([1] * pixels, 3)
    slots = one_image([0, 1] + [2] * (pixels - 2), 3)
    assert adjusted_rand_index(true, slots, True)[0] == 0


def test_one_pixel_of_foreground_gives_one():
    assert adjusted_rand_index(one_image([0, 1, 0], 2), one_image([0, 1, 1], 2), True)[0] == 1


def test_order_of_slots_changes_nothing():
    true, predicted = random_masks(seed=4)
    np.testing.assert_array_equal(
        adjusted_rand_index(true, predicted[:, ::-1], True),
        adjusted_rand_index(true, predicted, True),
    )


def test_networks_masks_go_in_as_they_are():
    true, predicted = random_masks(seed=5)
    np.testing.assert_array_equal(
        adjusted_rand_index(true.astype(np.uint8), predicted[..., None].astype(np.float32), True),
        adjusted_rand_index(true, predicted.astype(np.float32), True),
    )


def test_masks_of_other_sizes_are_refused_with_their_shapes():
    true, predicted = random_masks(seed=6)
    with pytest.raises(ZooError, match=r"\(6, 5, 12, 9\).*\(6, 7, 12, 8\)"):
        adjusted_rand_index(true, predicted[..., :8], True)


def test_best_overlap_takes_each_objects_best_slot():
    true = one_image([0, 0, 1, 1, 2, 2, 2, 2], 4)  # the fourth entity has no pixel
    slots = one_image([0, 0, 0, 1, 1, 1, 1, 1], 2)
    # Object 1: 1 of 4 with slot 0, 1 of 6 with slot 1. Object 2: 4 of 5 with slot 1.
    assert mean_best_overlap(true, slots)[0] == pytest.approx((1 / 4 + 4 / 5) / 2, rel=1e-15)


def test_best_overlap_of_the_true_masks_is_one():
    true, _ = random_masks(seed=7)
    np.testing.assert_array_equal(mean_best_overlap(true, true), np.ones(len(true)))


def test_best_overlap_without_objects_is_nan():
    assert np.isnan(mean_best_overlap(one_image([0, 0], 3), one_image([0, 1], 2))[0])


def test_reconstruction_error_is_the_mean_square_of_each_image():
    images = np.zeros((2, 4, 4, 3), np.float32)
    reconstructions = images.copy()
    reconstructions[1] += 0.5
    np.testing.assert_array_equal(reconstruction_error(images, reconstructions), [0, 0.25])


def test_reconstruction_of_another_shape_is_refused():
    with pytest.raises(ZooError, match="differ in shape"):
        reconstruction_error(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 5, 3)))
