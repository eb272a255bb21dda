"""What a run says of itself is true and holds no folder of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_helpers import events, run

from residual_attention_net.run_events import shown_command

pytestmark = pytest.mark.pytorch


def test_the_shown_command_can_be_typed_and_names_no_folder() -> None:
    shown = shown_command(["/some/where/train.py", "--data_path", "/data/cifar", "--resume",
                           "--output_path=/home/me/run", "--recipe=modern"])
    assert shown == ("python -m residual_attention_net.train --data_path '…/cifar' --resume "
                     "'--output_path=…/run' --recipe=modern")


def test_the_start_event_says_what_a_record_needs(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--train_steps", "1")
    begun = events(tmp_path / "run", "start")[0]
    assert begun["network"]["name"] == "small_16input"
    assert begun["dataset"]["counts"] == {"train": 64, "validation": 20, "test": 40}
    assert begun["precision"]["mode"] == "must_keep_origin_dtype"
    assert begun["device"]["kind"] == "cpu"
    assert len(begun["first_batches_sha256"]) == 64
    assert str(tmp_path) not in begun["command"]


def test_the_final_evaluation_of_a_run_cut_inside_an_epoch_names_that_epoch(
        tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--train_steps", "5")
    seen = [(event["role"], event["epoch"]) for event in events(tmp_path / "run", "evaluation")]
    assert seen[:3] == [("progress", 1), ("progress", 2), ("final", 2)]
