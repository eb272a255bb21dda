"""Training from the command line: it learns, it resumes exactly, it ends in order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from training_helpers import error_line, events, run, trained

from common.training.checkpoints import read_state

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that nothing disturbed."""
    return trained("train", tmp_path_factory.mktemp("whole") / "run")


def test_a_run_writes_one_event_a_step_with_what_a_table_needs(whole_run: Path) -> None:
    steps = events(whole_run, "step")
    assert [event["step"] for event in steps] == list(range(1, 9))
    assert {"epoch", "loss", "learning_rate", "seconds", "data_seconds", "samples"} <= set(steps[0])
    assert all(event["samples"] == 16 for event in steps)


def test_the_test_set_is_looked_at_only_at_the_end(whole_run: Path) -> None:
    seen = [(event["split"], event["role"]) for event in events(whole_run, "evaluation")]
    assert seen == 2 * [("validation", "progress")] + [("test", "final"), ("test", "best")]


def test_the_best_weights_are_told_by_the_step_they_are_of(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--total_epochs", "1", "--checkpoint_minutes", "0")
    best = tmp_path / "run" / "ckpt" / "best"  # of step 4; the later epochs' rate is ruinous
    flags = ("--total_epochs", "3", "--resume", "--learning_rate", "10")
    run("train", tmp_path / "run", *flags)
    step = json.loads((best / "state.json").read_text())["step"]
    told = [event for event in events(tmp_path / "run", "evaluation") if event["role"] == "best"]
    assert told[-1]["step"] == step < events(tmp_path / "run", "step")[-1]["step"]


def test_divergence_stops_with_the_step_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    flags = "--learning_rate=1e18 --scale_learning_rate=false --checkpoint_minutes=0"
    done = run("train", tmp_path / "run", *flags.split(), "--total_epochs=20")
    line = error_line(done.stdout)
    assert done.returncode == 1 and "step" in line and "last good checkpoint" in line
    assert events(tmp_path / "run")[-1]["status"] == "failed"


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--checkpoint_minutes", "0", "--keep_checkpoints", "2")
    folder = tmp_path / "run" / "ckpt"
    # And what was best to step 7, from which a damaged 8 would be trained again.
    needed = read_state(folder / "step_00000007")["best"]["step"]
    steps = {f"step_{needed:08d}", "step_00000007", "step_00000008"}
    kept = {"best", "best.pt", (folder / "best").resolve().name, *steps}
    assert {path.name for path in folder.iterdir()} == kept


def test_a_small_network_learns_synthetic_classes(tmp_path: Path) -> None:
    flags = "--limit_train=400 --limit_test=200 --total_epochs=8 --checkpoint_minutes=60"
    output = trained("train", tmp_path / "run", *flags.split())
    final = [event for event in events(output, "evaluation") if event["role"] == "final"]
    assert final[0]["n"] == 200
    assert final[0]["metrics"]["accuracy"] > 60.0


def test_the_start_says_what_a_record_needs(whole_run: Path) -> None:
    begun = events(whole_run, "start")[0]
    assert begun["network"]["name"] == "small_16input"
    assert begun["dataset"]["counts"] == {"train": 64, "validation": 20, "test": 40}
    assert (begun["precision"]["mode"], begun["device"]["kind"]) == (
        "must_keep_origin_dtype",
        "cpu",
    )
    assert len(begun["first_batches_sha256"]) == 64
    assert str(whole_run) not in begun["command"]
    final, best = events(whole_run, "evaluation")[-2:]
    assert "validation_accuracy" in set(best["metrics"]) - set(final["metrics"])


def test_lines_are_read_as_the_original_scripts(tmp_path: Path) -> None:
    done = run("train", tmp_path / "run", "--train_steps", "5", "--log_every", "5")
    assert re.search(r"Epoch \[2/2\], Iter \[1/4\] Loss: \d+\.\d{4} LR: \S+ FPS: ", done.stdout)
    assert "the epoch 2 takes time: " in done.stdout
    assert re.search(r"current weights\) on the 40 test images: \d+\.\d\d %", done.stdout)
    seen = [(event["role"], event["epoch"]) for event in events(tmp_path / "run", "evaluation")]
    assert seen[:3] == [("progress", 1), ("progress", 2), ("final", 2)]
