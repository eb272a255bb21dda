"""From scores of images to the figures of a split."""

from __future__ import annotations

import numpy as np
import pytest

from slot_attention.object_discovery.segmentation import (
    WITH_MASKS,
    WITHOUT_MASKS,
    as_evaluation,
    image_scores,
    joined_background,
    total,
)

pytestmark = pytest.mark.tensorflow


def _batch(masks):
    """Two images of 2 x 2 whose slots are the true masks."""
    masks = np.array(masks, np.float32)
    image = np.zeros(masks.shape[:1] + masks.shape[2:] + (3,), np.float32)
    return {
        "image": image,
        "combined": image + 0.5,
        "mask": masks.astype(np.uint8),
        "masks": masks[..., np.newaxis],
    }


SCENES = [
    [[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 1]]],
    [[[1, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]],
]  # the second is background only


def test_an_image_without_foreground_is_left_out_of_the_mean_and_counted():
    result = as_evaluation(total([image_scores(_batch(SCENES), 1)]), WITH_MASKS, "test")
    assert result.n == 2
    assert result.metrics["fg_ari"] == pytest.approx(1.0)
    assert result.metrics["without_foreground"] == 1


def test_the_score_that_chooses_checkpoints_is_the_foreground_index():
    result = as_evaluation(total([image_scores(_batch(SCENES), 1)]), WITH_MASKS, "test")
    assert result.score == result.metrics["fg_ari"]


def test_without_masks_the_reconstruction_chooses():
    batch = _batch(SCENES)
    scores = image_scores({name: batch[name] for name in ("image", "combined")}, 1)
    result = as_evaluation(total([scores]), WITHOUT_MASKS, "test")
    assert result.metrics == {"reconstruction_error": pytest.approx(0.25)}
    assert result.score == pytest.approx(-0.25)


def test_means_over_batches_weigh_every_image_the_same():
    scores = [{"fg_ari": np.array([1.0, 1.0, 1.0])}, {"fg_ari": np.array([0.0])}]
    assert total(scores).mean("fg_ari") == pytest.approx(0.75)


def test_several_background_entities_count_as_one():
    masks = np.array(SCENES, np.uint8)
    joined = joined_background(masks, 2)
    assert joined.shape == (2, 2, 2, 2)
    assert np.array_equal(joined[0, 0], [[1, 1], [0, 0]])


def test_one_background_entity_stays_as_it_is():
    masks = np.array(SCENES, np.uint8)
    assert joined_background(masks, 1) is masks
