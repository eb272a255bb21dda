"""Training from the command line: it learns, it resumes exactly, it ends in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from training_helpers import events, run, trained

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that nothing disturbed."""
    return trained("train", tmp_path_factory.mktemp("whole") / "run")


def test_the_test_set_is_looked_at_only_at_the_end(whole_run: Path) -> None:
    seen = [(event["split"], event["role"]) for event in events(whole_run, "evaluation")]
    assert seen == 2 * [("validation", "progress")] + [("test", "final"), ("test", "best")]


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
