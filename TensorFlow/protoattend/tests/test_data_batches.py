"""Which image is a query and which a candidate, how batches are made of them, and candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from proto_data_files import numbered_images, random_pixels, refusal

from common.core.errors import UsageError
from common.data.labelled_images import LabelledImages
from protoattend.data.batches import (
    PADDING,
    Batches,
    Draws,
    augmented,
    check_images_suffice,
    draw,
    evaluation_candidates,
    missing_classes_warning,
)
from protoattend.options import TRAIN, parse_options

PLAN = replace(parse_options(TRAIN, []), batch_size=8, example_cand_size=20, random_seed=3)
REFERENCE = replace(PLAN, shuffle=False, exclude_queries=False, augment=False)


def batches(count: int, options=PLAN, rank: int = 0, world_size: int = 1, **images: int) -> Batches:
    return Batches(numbered_images(count, **images), options, rank, world_size)


def test_candidates_come_once_in_a_step_equally_often_in_all_and_are_no_queries() -> None:
    given = batches(28)  # just as many as are needed
    for step in range(40):
        candidates = set(given.candidates_of(step).tolist())
        assert len(candidates) == 20 and not candidates & set(given.queries_of(step))
    drawn = [batches(50).candidates_of(step) for step in range(1000)]
    assert abs(np.bincount(np.concatenate(drawn), minlength=50) - 400).max() < 80  # 5 deviations


def test_the_streams_of_a_seed_never_change() -> None:
    given = batches(40, replace(PLAN, batch_size=5, example_cand_size=5))
    assert given.queries_of(9).tolist() == [6, 25, 18, 39, 35]
    assert given.candidates_of(9).tolist() == [37, 1, 22, 8, 4]


def test_ranks_share_augmented_queries_and_draw_candidates_of_their_own() -> None:
    whole, half = batches(60, size=7), replace(PLAN, batch_size=4)
    ranks = [batches(60, half, rank, 2, size=7) for rank in (0, 1)]
    for step in (0, 6, 15):
        joined = np.concatenate([rank.batch(step)["images"] for rank in ranks])
        np.testing.assert_array_equal(joined, whole.batch(step)["images"])
    first, other = (set(rank.candidates_of(4).tolist()) for rank in ranks)
    assert first != other and not (first | other) & set(whole.queries_of(4))


def test_the_reference_takes_queries_and_candidates_in_the_order_of_the_data() -> None:
    given = batches(50, REFERENCE)
    assert given.queries_of(6).tolist() == [48, 49, 0, 1, 2, 3, 4, 5]
    assert given.candidates_of(2).tolist() == list(range(40, 50)) + list(range(10))
    images = numbered_images(50).images
    np.testing.assert_array_equal(given.batch(1)["images"], images[8:16])
    np.testing.assert_array_equal(given.batch(1)["candidates"], images[20:40])
    without = batches(50, replace(REFERENCE, exclude_queries=True))
    assert without.candidates_of(0).tolist() == list(range(8, 28))


def test_labels_belong_to_their_pixels_and_both_parts_are_augmented() -> None:
    batch = batches(50, replace(PLAN, augment=False)).batch(3)
    for images, labels in (("images", "labels"), ("candidates", "candidate_labels")):
        numbers = batch[images][:, 0, 0, 0].astype(int)
        assert batch[labels].tolist() == ((numbers - 1) % 3).tolist()
        changed = batches(60, size=7).batch(0)[images]
        assert (changed == 0).any()  # padding, for no pixel of the data is 0


@pytest.mark.tensorflow
def test_datasets_begin_with_any_step_and_have_static_shapes() -> None:
    from common.training.tensorflow.runtime import tf
    from protoattend.training import make_batches

    given = batches(40, size=5, channels=3)
    iterator = tf.data.make_initializable_iterator(make_batches(given)(3))
    batch = iterator.get_next()
    with tf.Session() as session:
        session.run(iterator.initializer)
        found = [session.run(batch) for _ in range(2)]
    for step, arrays in enumerate(found, start=3):
        for field, expected in given.batch(step).items():
            np.testing.assert_array_equal(arrays[field], expected)
            told = batch[field].dtype.as_numpy_dtype, tuple(batch[field].shape.as_list())
            assert told == (expected.dtype, expected.shape)


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
    given, draws = LabelledImages(images, np.zeros(20, np.int32)), draw(1, 2, "queries", 20)
    for image, result, offset, flip in zip(images, augmented(given, draws).images, *draws):
        expected = shifted(image, *offset)
        np.testing.assert_array_equal(result, expected[:, ::-1] if flip else expected)
    middle = Draws(np.full((20, 2), PADDING), np.zeros(20, bool))
    np.testing.assert_array_equal(augmented(given, middle).images, images)


# --- candidates of an evaluation -------------------------------------------------------------


def test_candidates_are_drawn_by_seed_and_by_the_reference_in_order_and_augmented() -> None:
    train = numbered_images(50)

    def candidates(*words: str) -> LabelledImages:
        options = parse_options(TRAIN, ["--eval_cand_size", "20", *words])
        return evaluation_candidates(options, train)

    rows = [candidates("--seed", seed).images[:, 0, 0, 0].tolist() for seed in "334"]
    assert rows[0] == rows[1] != rows[2] and rows[0] == sorted(set(rows[0])) != list(range(1, 21))
    augmented_ones = candidates("--parity")
    plain = candidates("--parity", "--augment_evaluation_candidates=false")
    np.testing.assert_array_equal(plain.images, train.images[:20])
    assert np.array_equal(augmented_ones.labels, plain.labels)
    assert not np.array_equal(augmented_ones.images, plain.images)


def test_too_few_images_name_every_flag_to_give_before_tensorflow_starts() -> None:
    """173 images of one's own with the defaults, as a first trial has it."""
    options, images = parse_options(TRAIN, []), numbered_images(173)

    def told() -> str:
        return refusal(lambda: check_images_suffice(options, images), UsageError)

    assert "needs 1152 training images, there are 173" in told()
    assert "--example_cand_size of at most 45" in told()
    assert "--eval_cand_size of 1 to 173" in told()
    options = replace(options, example_cand_size=45, eval_cand_size=173)
    check_images_suffice(options, images)
    check_images_suffice(replace(options, example_cand_size=173, exclude_queries=False), images)
    options = replace(options, batch_size=200)
    assert "give a smaller --batch_size" in told()


def test_classes_missing_among_the_candidates_are_named() -> None:
    warning = missing_classes_warning(np.array([0, 2, 2], np.int32), ("cat", "dog", "frog", "ox"))
    assert warning is not None and warning.startswith(
        "2 of 4 classes are missing among the 3 candidates (dog, ox)"
    )
    assert missing_classes_warning(np.array([1, 0, 1], np.int32), ("cat", "dog")) is None
