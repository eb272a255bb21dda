"""Which image is a query and which a candidate, and how batches are made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from proto_data_files import numbered_images, random_pixels, refusal

from common.core.errors import UsageError
from protoattend.data.augmentation import PADDING, Draws, augment, draw
from protoattend.data.streams import BatchPlan, StepBatches, Streams, first_batches_sha256

PLAN = BatchPlan(batch_size=8, candidates=20, seed=3)
REFERENCE = replace(PLAN, shuffle=False, exclude_queries=False, augment=False)


def epoch_of(streams: Streams, epoch: int) -> list:
    first = epoch * streams.steps_per_epoch
    steps = range(first, first + streams.steps_per_epoch)
    return np.concatenate([streams.queries_of(step) for step in steps]).tolist()


def test_an_epoch_shows_every_image_once_but_the_incomplete_last_batch() -> None:
    streams = Streams(50, PLAN)
    shown = epoch_of(streams, 0)
    assert streams.steps_per_epoch == 6 and len(shown) == len(set(shown)) == 48


def test_every_epoch_has_an_order_of_its_own() -> None:
    streams = Streams(48, PLAN)
    assert epoch_of(streams, 0) != epoch_of(streams, 1)
    assert sorted(epoch_of(streams, 0)) == sorted(epoch_of(streams, 1))


def test_a_query_is_never_a_candidate_of_its_step() -> None:
    streams = Streams(28, PLAN)  # just as many as are needed
    for step in range(40):
        assert not set(streams.queries_of(step)) & set(streams.candidates_of(step))


def test_without_candidates_a_batch_is_its_queries_alone() -> None:
    plan = replace(PLAN, candidates=0)
    batch = StepBatches(numbered_images(40), plan).batch(3)
    assert batch["images"].shape[0] == 8
    assert batch["candidates"].shape[0] == batch["candidate_labels"].shape[0] == 0
    assert refusal(lambda: replace(plan, batch_size=1))


def test_no_candidate_comes_twice_in_a_step() -> None:
    streams = Streams(30, PLAN)
    for step in range(40):
        assert len(set(streams.candidates_of(step).tolist())) == 20


def test_every_image_becomes_a_candidate_about_equally_often() -> None:
    streams = Streams(50, PLAN)
    counts = np.bincount(np.concatenate([streams.candidates_of(step) for step in range(1000)]))
    assert len(counts) == 50 and abs(counts - 400).max() < 80  # 5 standard deviations


def test_candidates_are_not_always_drawn_from_the_same_order_as_the_queries() -> None:
    plan = replace(PLAN, batch_size=20, exclude_queries=False)
    streams = Streams(50, plan)
    assert streams.queries_of(0).tolist() != streams.candidates_of(0).tolist()


def test_a_step_has_the_same_images_whatever_was_asked_for_before() -> None:
    streams = Streams(50, PLAN)
    late = streams.queries_of(17), streams.candidates_of(17)
    streams.queries_of(0)
    for other in (streams, Streams(50, PLAN)):
        np.testing.assert_array_equal(other.queries_of(17), late[0])
        np.testing.assert_array_equal(other.candidates_of(17), late[1])


def test_the_streams_of_a_seed_never_change() -> None:
    streams = Streams(40, replace(PLAN, batch_size=5, candidates=5))
    assert streams.queries_of(9).tolist() == [6, 25, 18, 39, 35]
    assert streams.candidates_of(9).tolist() == [37, 1, 22, 8, 4]


def test_ranks_share_the_queries_of_every_global_batch() -> None:
    whole = Streams(60, PLAN)
    ranks = [Streams(60, replace(PLAN, batch_size=4, rank=rank, world_size=2)) for rank in (0, 1)]
    for step in (0, 6, 15):
        joined = np.concatenate([rank.queries_of(step) for rank in ranks])
        np.testing.assert_array_equal(joined, whole.queries_of(step))


def test_every_rank_draws_candidates_of_its_own_that_are_queries_of_no_rank() -> None:
    ranks = [Streams(60, replace(PLAN, rank=rank, world_size=2)) for rank in (0, 1)]
    first, other = (rank.candidates_of(4) for rank in ranks)
    assert set(first) != set(other)
    for candidates in (first, other):
        assert not set(candidates) & set(ranks[0].global_queries_of(4))


def test_the_reference_takes_queries_and_candidates_in_the_order_of_the_data() -> None:
    streams = Streams(50, REFERENCE)
    assert streams.queries_of(0).tolist() == list(range(8))
    assert streams.queries_of(6).tolist() == [48, 49, 0, 1, 2, 3, 4, 5]
    assert streams.candidates_of(0).tolist() == list(range(20))
    assert streams.candidates_of(2).tolist() == list(range(40, 50)) + list(range(10))


def test_in_order_of_the_data_queries_can_be_left_out_of_the_candidates() -> None:
    streams = Streams(50, replace(REFERENCE, exclude_queries=True))
    assert streams.candidates_of(0).tolist() == list(range(8, 28))


def test_fewer_images_than_candidates_and_queries_is_one_line_with_the_numbers() -> None:
    line = refusal(lambda: Streams(27, PLAN), UsageError)
    assert "needs 28 training images, there are 27" in line
    Streams(28, PLAN)


def test_queries_that_may_meet_themselves_need_fewer_images() -> None:
    Streams(20, replace(PLAN, exclude_queries=False))
    refusal(lambda: Streams(19, replace(PLAN, exclude_queries=False)), UsageError)


@pytest.mark.parametrize(
    "changes", [{"seed": -1}, {"seed": 2**32}, {"batch_size": 0}, {"candidates": -1}]
)
def test_a_plan_with_a_number_out_of_range_is_refused(changes) -> None:
    refusal(lambda: replace(PLAN, **changes), UsageError)


# --- augmentation ----------------------------------------------------------------------------


def shifted(image: np.ndarray, top: int, left: int) -> np.ndarray:
    """One image cut out of its zero-padded self, pixel by pixel."""
    result = np.zeros_like(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            source = row + top - PADDING, column + left - PADDING
            if 0 <= source[0] < image.shape[0] and 0 <= source[1] < image.shape[1]:
                result[row, column] = image[source]
    return result


def test_an_augmented_image_is_a_window_of_the_padded_one_mirrored_or_not() -> None:
    images = random_pixels(40, 6).reshape(20, 6, 6, 2)[..., :1]
    draws = draw(1, 2, "queries", 20)
    for image, result, offset, flip in zip(
        images, augment(images, draws), draws.offsets, draws.flips
    ):
        expected = shifted(image, *offset)
        np.testing.assert_array_equal(result, expected[:, ::-1] if flip else expected)


def test_the_middle_window_unmirrored_is_the_image_itself() -> None:
    images = random_pixels(9, 5).reshape(3, 5, 5, 3)
    draws = Draws(np.full((3, 2), PADDING), np.zeros(3, bool))
    np.testing.assert_array_equal(augment(images, draws), images)


def test_every_offset_and_both_sides_are_drawn() -> None:
    assert not draw(0, 0, "queries", 2000, flip=False).flips.any()
    draws = draw(0, 0, "queries", 2000)
    assert np.bincount(draws.offsets[:, 0]).min() > 300 and draws.offsets.max() == 2 * PADDING
    assert np.bincount(draws.offsets[:, 1]).min() > 300
    assert 900 < draws.flips.sum() < 1100


@pytest.mark.parametrize("other", [(1, 5, "queries"), (0, 6, "queries"), (0, 5, "candidates")])
def test_seed_step_and_stream_each_have_draws_of_their_own(other) -> None:
    assert not np.array_equal(draw(0, 5, "queries", 30).offsets, draw(*other, 30).offsets)


# --- batches ---------------------------------------------------------------------------------


def test_labels_and_pixels_of_a_batch_belong_together() -> None:
    batch = StepBatches(numbered_images(50), replace(PLAN, augment=False)).batch(3)
    for images, labels in (("images", "labels"), ("candidates", "candidate_labels")):
        numbers = batch[images][:, 0, 0, 0].astype(int)
        assert batch[labels].tolist() == ((numbers - 1) % 3).tolist()


def test_two_ranks_see_the_very_queries_of_one_augmented_alike() -> None:
    split = numbered_images(60, size=7)
    whole = StepBatches(split, PLAN).batch(5)
    parts = [
        StepBatches(split, replace(PLAN, batch_size=4, rank=rank, world_size=2)).batch(5)
        for rank in (0, 1)
    ]
    np.testing.assert_array_equal(
        np.concatenate([part["images"] for part in parts]), whole["images"]
    )


def test_queries_and_candidates_are_both_augmented() -> None:
    batch = StepBatches(numbered_images(60, size=7), PLAN).batch(0)
    for field in ("images", "candidates"):
        assert (batch[field] == 0).any()  # padding, for no pixel of the data is 0


def test_the_references_batches_are_the_data_itself() -> None:
    split = numbered_images(50)
    batch = StepBatches(split, REFERENCE).batch(1)
    np.testing.assert_array_equal(batch["images"], split.images[8:16])
    np.testing.assert_array_equal(batch["candidates"], split.images[20:40])


def test_the_checksum_names_the_first_batches() -> None:
    split = numbered_images(50)
    first = first_batches_sha256(split, PLAN)
    assert first == first_batches_sha256(split, PLAN)
    for changes in ({"seed": 4}, {"augment": False}, {"candidates": 19}):
        assert first != first_batches_sha256(split, replace(PLAN, **changes))
