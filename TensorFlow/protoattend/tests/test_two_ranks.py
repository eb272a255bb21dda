"""Two ranks really run: they agree on every number, and none waits for the other's picture."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from tests.processes import events, finish, start_ranks

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("horovod") is None or sys.version_info >= (3, 8),
        reason="Horovod is not installed in this environment",
    ),
]
STEPS = 30


def test_ranks_agree_on_every_loss_and_evaluation_and_only_the_first_draws(tmp_path):
    words = ["--device=cpu", "--dataset=digits", "--img_size=14", "--flip=false", "--encoder=small"]
    words += ["--example_cand_size=64", "--eval_cand_size=200", "--pictures_every=10"]
    words += ["--val_step=10", "--save_step=0", "--init_learning_rate=0.002", "--batch_size=16"]
    words += [f"--num_steps={STEPS}", f"--output_path={tmp_path}"]
    finish(*start_ranks(["-m", "protoattend.train", *words]))
    losses, figures = (
        [[event[key] for event in events(tmp_path, kind, rank)] for rank in (0, 1)]
        for kind, key in (("step", "loss"), ("evaluation", "metrics"))
    )
    assert losses[0] == losses[1] and len(losses[0]) == STEPS
    assert np.mean(losses[0][-5:]) < 0.9 * np.mean(losses[0][:5])
    assert figures[0] == figures[1] and len(figures[0]) == 5
    assert len(list((tmp_path / "pictures").iterdir())) == 3
