"""Batches out of tf.data."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np
import pytest
from proto_data_files import numbered_images

from common.core.errors import UsageError
from common.training.tensorflow.runtime import tf
from protoattend.data.batches import make_batches
from protoattend.data.streams import BatchPlan, StepBatches

pytestmark = pytest.mark.tensorflow
PLAN = BatchPlan(batch_size=4, candidates=6, seed=1)


def take(batches: Any, count: int) -> List[Dict[str, np.ndarray]]:
    iterator = tf.data.make_initializable_iterator(batches)
    batch = iterator.get_next()
    with tf.Session() as session:
        session.run(iterator.initializer)
        return [session.run(batch) for _ in range(count)]


def test_batches_are_those_of_their_steps() -> None:
    split = numbered_images(20)
    for step, batch in enumerate(take(make_batches(split, PLAN)(0), 7)):
        for field, expected in StepBatches(split, PLAN).batch(step).items():
            np.testing.assert_array_equal(batch[field], expected)


def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one() -> None:
    batches_from = make_batches(numbered_images(20), PLAN)
    uninterrupted = take(batches_from(0), 5)[3]
    resumed = take(batches_from(3), 1)[0]
    for field, expected in uninterrupted.items():
        np.testing.assert_array_equal(resumed[field], expected)


def test_shapes_and_types_are_static() -> None:
    split = numbered_images(20, size=5, channels=3)
    batch = tf.data.make_initializable_iterator(make_batches(split, PLAN)(0)).get_next()
    told = {field: (tensor.dtype, tuple(tensor.shape.as_list())) for field, tensor in batch.items()}
    assert told == {
        "images": (tf.uint8, (4, 5, 5, 3)),
        "labels": (tf.int32, (4,)),
        "candidates": (tf.uint8, (6, 5, 5, 3)),
        "candidate_labels": (tf.int32, (6,)),
    }


def test_too_few_images_are_refused_before_any_batch() -> None:
    with pytest.raises(UsageError, match="needs 10 training images, there are 9"):
        make_batches(numbered_images(9), PLAN)
