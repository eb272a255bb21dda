"""Steps, epochs and learning rates, and what the quirks of the reference change."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from common.machine.ranks import Place
from common.training.tensorflow.runtime import tf
from protoattend.options import TRAIN, parse_options
from protoattend.recipe import epoch_steps, initial_learning_rate, learning_rate, training_steps

pytestmark = pytest.mark.tensorflow


def _session(*words, world_size=1, images=1000):
    place = Place(0, world_size, 0)
    return SimpleNamespace(
        options=parse_options(TRAIN, list(words)),
        place=place,
        dataset=SimpleNamespace(train=range(images)),
    )


def _rate(session, step):
    with tf.Graph().as_default(), tf.Session() as running:
        return running.run(learning_rate(session, tf.constant(step, tf.int64)))


@pytest.mark.parametrize("step, wanted", [(0, 1e-3), (2000, 9e-4), (1000, 1e-3 * 0.9**0.5)])
def test_the_rate_decays_continuously(step, wanted):
    assert _rate(_session(), step) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    "step, wanted", [(0, 0), (5, 5e-4 * (1 + np.cos(np.pi / 20)) / 2), (50, 5e-4), (100, 0)]
)
def test_the_rate_may_warm_up_and_fall_as_a_cosine_to_the_end(step, wanted):
    session = _session("--decay=cosine", "--num_steps=100", "--warmup_steps=10")
    assert _rate(session, step) == pytest.approx(wanted, rel=1e-5, abs=1e-9)


def test_the_rate_grows_with_the_square_root_of_the_ranks():
    assert initial_learning_rate(_session(world_size=4)) == pytest.approx(2e-3)
    assert initial_learning_rate(_session("--scale_learning_rate=false", world_size=4)) == 1e-3


def test_an_epoch_is_a_pass_of_all_ranks_over_the_data():
    assert epoch_steps(_session("--batch_size", "10", world_size=2)) == 50


def test_epochs_may_take_the_place_of_steps():
    assert training_steps(_session("--batch_size", "10", "--train_epochs", "3")) == 300


def test_with_parity_there_is_one_step_less():
    assert np.subtract(training_steps(_session()), training_steps(_session("--parity"))) == 1
