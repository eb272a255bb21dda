"""Training from the command line: it learns, it resumes exactly, it ends in order."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from training_helpers import events, newest_checkpoint, run, start

pytestmark = pytest.mark.pytorch


def same_weights(first: Path, second: Path) -> bool:
    one, other = newest_checkpoint(first)["model"], newest_checkpoint(second)["model"]
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def wait_for_step(output: Path, step: int, seconds: float = 240.0) -> None:
    path = output / "ckpt" / f"step_{step:09d}.json"
    until = time.time() + seconds
    while not path.exists():
        assert time.time() < until, f"step {step} was not reached"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole") / "run"
    done = run("train", output)
    assert done.returncode == 0, done.stdout
    return output


def test_a_run_writes_one_event_a_step_with_what_a_table_needs(whole_run: Path) -> None:
    steps = events(whole_run, "step")
    assert [event["step"] for event in steps] == list(range(1, 9))
    assert {"epoch", "loss", "learning_rate", "seconds", "data_seconds", "samples"} <= set(steps[0])
    assert all(event["samples"] == 16 for event in steps)


def test_the_test_set_is_looked_at_only_at_the_end(whole_run: Path) -> None:
    seen = [(event["split"], event["role"]) for event in events(whole_run, "evaluation")]
    assert seen == [
        ("validation", "progress"),
        ("validation", "progress"),
        ("test", "final"),
        ("test", "best"),
    ]


def test_the_best_weights_are_told_by_the_step_they_are_of(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--total_epochs", "1", "--checkpoint_minutes", "0")
    best = tmp_path / "run" / "ckpt" / "best.pt"  # of step 4; the later epochs' rate is ruinous
    flags = ("--total_epochs", "3", "--resume", "--learning_rate", "10")
    run("train", tmp_path / "run", *flags)
    step = json.loads(best.with_suffix(".json").read_text())["step"]
    told = [event for event in events(tmp_path / "run", "evaluation") if event["role"] == "best"]
    assert told[-1]["step"] == step < events(tmp_path / "run", "step")[-1]["step"]


def test_a_finished_run_says_so_last(whole_run: Path) -> None:
    assert events(whole_run)[-1]["event"] == "end"
    assert events(whole_run)[-1]["status"] == "complete"


def test_the_same_seed_gives_the_same_weights(whole_run: Path, tmp_path: Path) -> None:
    run("train", tmp_path / "again")
    assert same_weights(whole_run, tmp_path / "again")


def test_another_seed_gives_other_weights(whole_run: Path, tmp_path: Path) -> None:
    run("train", tmp_path / "other", "--seed", "1")
    assert not same_weights(whole_run, tmp_path / "other")


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(
    whole_run: Path, tmp_path: Path, step: int
) -> None:
    output = tmp_path / "killed"
    process = start("train", output, "--checkpoint_minutes", "0")
    wait_for_step(output, step)
    process.kill()
    process.communicate()
    done = run("train", output, "--checkpoint_minutes", "0", "--resume")
    assert done.returncode == 0, done.stdout
    assert same_weights(whole_run, output)


def test_the_curve_of_a_resumed_run_is_that_of_the_undisturbed_one(
    whole_run: Path, tmp_path: Path
) -> None:
    output = tmp_path / "killed"
    process = start("train", output, "--checkpoint_minutes", "0")
    wait_for_step(output, 5)
    process.kill()
    process.communicate()
    run("train", output, "--resume")
    for kind, name in (("step", "loss"), ("step", "learning_rate"), ("epoch", "train_loss")):
        assert [event[name] for event in events(output, kind)] == [
            event[name] for event in events(whole_run, kind)
        ]


def test_sigterm_saves_ends_with_143_and_resumes_to_the_same_weights(
    whole_run: Path, tmp_path: Path
) -> None:
    output = tmp_path / "stopped"
    process = start("train", output, "--checkpoint_minutes", "0")
    wait_for_step(output, 2)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    last = events(output)[-1]
    assert (last["event"], last["status"]) == ("end", "interrupted")
    saved = newest_checkpoint(output)["position"]["step"]
    assert saved == events(output, "step")[-1]["step"] < 8
    run("train", output, "--resume")
    assert same_weights(whole_run, output)


def test_resuming_a_finished_run_changes_nothing(whole_run: Path, tmp_path: Path) -> None:
    run("train", tmp_path / "twice")
    done = run("train", tmp_path / "twice", "--resume")
    assert done.returncode == 0, done.stdout
    assert same_weights(whole_run, tmp_path / "twice")
    assert len(events(tmp_path / "twice", "step")) == 8
    assert len(events(tmp_path / "twice", "evaluation")) == 4
    assert "nothing is left to do" in done.stdout


def test_resume_with_more_epochs_goes_on(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--total_epochs", "1")
    run("train", tmp_path / "run", "--total_epochs", "2", "--resume")
    assert [event["step"] for event in events(tmp_path / "run", "step")] == list(range(1, 9))


def test_divergence_stops_with_the_step_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    done = run(
        "train",
        tmp_path / "run",
        "--learning_rate",
        "1e18",
        "--total_epochs",
        "20",
        "--checkpoint_minutes",
        "0",
        "--scale_learning_rate",
        "false",
    )
    assert done.returncode == 1
    line = [text for text in done.stdout.splitlines() if text.startswith("error: ")]
    assert len(line) == 1 and "step" in line[0] and "last good checkpoint" in line[0]
    assert "Traceback" not in done.stdout
    assert events(tmp_path / "run")[-1]["status"] == "failed"


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--checkpoint_minutes", "0", "--keep_checkpoints", "2")
    names = sorted(path.name for path in (tmp_path / "run" / "ckpt").glob("*.pt"))
    assert names == ["best.pt", "step_000000007.pt", "step_000000008.pt"]


def test_a_small_network_learns_synthetic_classes(tmp_path: Path) -> None:
    done = run(
        "train",
        tmp_path / "run",
        "--limit_train",
        "400",
        "--total_epochs",
        "8",
        "--limit_test",
        "200",
        "--checkpoint_minutes",
        "60",
    )
    assert done.returncode == 0, done.stdout
    final = [event for event in events(tmp_path / "run", "evaluation") if event["role"] == "final"]
    assert final[0]["n"] == 200
    assert final[0]["metrics"]["accuracy"] > 60.0
