"""Which scene comes when."""

from __future__ import annotations

import numpy as np
import pytest

from common.core.errors import UsageError
from slot_attention.data.order import EvaluationOrder, TrainingOrder


def epoch_of(order: TrainingOrder, epoch: int) -> np.ndarray:
    first = epoch * order.steps_per_epoch
    return np.concatenate([order.indices(first + step) for step in range(order.steps_per_epoch)])


def test_an_epoch_shows_every_scene_once_but_the_incomplete_last_batch() -> None:
    order = TrainingOrder(23, 4, seed=1)
    shown = epoch_of(order, 0)
    assert order.steps_per_epoch == 5 and len(set(shown.tolist())) == 20


def test_every_epoch_has_an_order_of_its_own() -> None:
    order = TrainingOrder(100, 10, seed=1)
    assert not np.array_equal(epoch_of(order, 0), epoch_of(order, 1))


def test_a_step_has_the_same_scenes_whatever_was_asked_for_before() -> None:
    order = TrainingOrder(50, 8, seed=3)
    late = order.indices(17)
    order.indices(0)
    np.testing.assert_array_equal(order.indices(17), late)
    np.testing.assert_array_equal(TrainingOrder(50, 8, seed=3).indices(17), late)


def test_the_seed_decides_the_order() -> None:
    first, other = (TrainingOrder(50, 8, seed).indices(0) for seed in (0, 1))
    assert not np.array_equal(first, other)


def test_ranks_share_every_global_batch() -> None:
    whole = TrainingOrder(50, 8, seed=5)
    ranks = [TrainingOrder(50, 4, seed=5, rank=rank, world_size=2) for rank in (0, 1)]
    for step in (0, 5, 9):
        joined = np.concatenate([rank.indices(step) for rank in ranks])
        np.testing.assert_array_equal(joined, whole.indices(step))


def test_the_order_of_a_seed_never_changes() -> None:
    assert TrainingOrder(10, 5, seed=7).indices(0).tolist() == [0, 1, 5, 7, 6]


def test_too_few_scenes_for_a_batch_are_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError, match="8 on 2 rank.s. is more than the 15 .* --batch_size 7"):
        TrainingOrder(15, 8, seed=0, world_size=2)


def test_evaluation_shows_every_scene_once_over_all_ranks() -> None:
    seen = []
    for rank in range(3):
        order = EvaluationOrder(11, 2, rank, 3)
        for step in range(order.steps):
            seen += order.indices(step)[: order.valid(step)].tolist()
    assert seen == list(range(11))


def test_the_last_evaluation_batch_repeats_its_last_scene() -> None:
    order = EvaluationOrder(5, 3)
    assert (order.steps, order.indices(1).tolist(), order.valid(1)) == (2, [3, 4, 4], 2)
