"""What a run says of itself is true and holds no folder of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_helpers import events, run

pytestmark = pytest.mark.pytorch


def test_the_start_event_says_what_a_record_needs(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--train_steps", "1")
    begun = events(tmp_path / "run", "start")[0]
    assert begun["network"]["name"] == "small_16input"
    assert begun["dataset"]["counts"] == {"train": 64, "validation": 20, "test": 40}
    assert begun["precision"]["mode"] == "must_keep_origin_dtype"
    assert begun["device"]["kind"] == "cpu"
    assert len(begun["first_batches_sha256"]) == 64
    assert str(tmp_path) not in begun["command"]


def test_the_final_evaluation_of_a_run_cut_inside_an_epoch_names_that_epoch(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--train_steps", "5")
    seen = [(event["role"], event["epoch"]) for event in events(tmp_path / "run", "evaluation")]
    assert seen[:3] == [("progress", 1), ("progress", 2), ("final", 2)]
