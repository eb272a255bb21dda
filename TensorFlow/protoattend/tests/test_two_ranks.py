"""Two ranks really run: they learn what one learns with the batch of both."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from proto_runs import events, finish, start

from common.machine.ports import reserve_port

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("horovod") is None or sys.version_info >= (3, 8),
        reason="Horovod is not installed in this environment",
    ),
]
STEPS = 200


def _words(folder, batch):
    words = ["--device=cpu", "--dataset=digits", "--img_size=14", "--flip=false", "--encoder=small"]
    words += ["--example_cand_size=64", "--eval_cand_size=200", "--pictures_every=100"]
    words += ["--val_step=100", "--save_step=0", "--init_learning_rate=0.002", "--decay_every=50"]
    words += ["--scale_learning_rate=false", f"--num_steps={STEPS}", f"--batch_size={batch}"]
    return words + [f"--output_path={folder}"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of a run of one rank and of one of two ranks with half the batch each."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    finish(start("train", _words(one, 32)))
    port = str(reserve_port().port)
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    ranks = [
        start("train", _words(two, 16), RANK=rank, LOCAL_RANK=rank, MASTER_PORT=port, **place)
        for rank in "01"
    ]
    for rank in ranks:
        finish(rank)
    return one, two


def _accuracies(folder, rank=0):
    return [event["metrics"]["encoder_accuracy"] for event in events(folder, "evaluation", rank)]


def _losses(folder, rank=0):
    return [event["loss"] for event in events(folder, "step", rank)]


def test_two_ranks_learn_what_one_learns(runs):
    one, two = (_accuracies(folder)[-1] for folder in runs)
    assert one > 0.8 and abs(one - two) < 0.08
    one, two = (np.mean(_losses(folder)[-50:]) for folder in runs)
    assert two == pytest.approx(one, rel=0.15)


def test_ranks_agree_on_every_loss_and_on_every_evaluation(runs):
    losses = [_losses(runs[1], rank) for rank in range(2)]
    assert losses[0] == losses[1] and len(losses[0]) == STEPS
    assert _accuracies(runs[1], 0) == _accuracies(runs[1], 1)
