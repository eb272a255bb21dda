"""A user's slip at `zoo launch`: told in one line, and nothing of an earlier run is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_zoo import FakeZoo, marker

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def zoo(tmp_path):
    return FakeZoo(tmp_path / "a zoo")


def launch_real(network, *flags):
    """Launches a network of this checkout as far as its flags are looked at."""
    return subprocess.run(
        [sys.executable, "-m", "common", "launch", network, "smoke", "--device=cpu", *flags],
        cwd=str(ROOT),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "network, flag, meant",
    [
        ("residual_attention_net", "--totl_epochs=3", "--total_epochs"),
        ("slot_attention/set_prediction", "--num-slot=3", "--num_slots"),
        ("protoattend", "--exampel_cand_size=64", "--example_cand_size"),
        ("protoattend", "--train_step=64", "--train_steps"),
    ],
)
def test_a_misspelt_flag_is_refused_with_the_nearest_before_anything_is_touched(
    network, flag, meant, tmp_path
):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    done = launch_real(network, f"--output_path={run}", flag)
    assert done.returncode == 64
    assert done.stderr.count("\n") == 1 and f"did you mean {meant}?" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_wrong_value_of_the_networks_own_flag_is_refused_as_early(tmp_path):
    done = launch_real("residual_attention_net", f"--output_path={tmp_path / 'r'}", "--log_every=x")
    assert done.returncode == 64 and "--log_every" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_hyphens_are_underscores(zoo):
    done = zoo.launch("full_1p", "--dry-run", "--train-steps=7")
    assert done.returncode == 0 and "--train_steps=7" in done.stdout
    assert not zoo.output.exists()


@pytest.mark.parametrize("flag", ["--ranks=1000000", "--nnodes=1000000"])
def test_a_slip_of_the_finger_in_a_number_of_processes_is_a_usage_error(zoo, flag):
    assert zoo.launch("full_8p", flag, "--dry_run").returncode == 64


def test_a_dry_run_needs_no_data_and_says_what_a_run_would_need(zoo):
    zoo.data.rmdir()
    done = zoo.launch("full_1p", "--dry_run")
    assert done.returncode == 0
    assert f"needs        --data_path={zoo.data} (not here)" in done.stdout
    assert zoo.launch("full_1p").returncode == 1


def test_ranks_that_differ_in_a_few_values_are_told_in_a_line_each(zoo):
    lines = zoo.launch("full_8p", "--dry_run", "--ranks=8").stdout.splitlines()
    differing = [line for line in lines if line.startswith("rank ") and "RANK=" in line]
    assert len(differing) == 7 and "--device_id=7" in differing[-1]
    assert len(lines) < 60


def test_a_rank_that_ends_well_without_telling_its_end_fails_the_run(zoo):
    done = zoo.launch(
        "full_8p",
        "--ranks=2",
        "--fail_at_step=2",
        "--bad_rank=1",
        "--fail_code=0",
        "--train_steps=200",
        "--step_seconds=0.05",
    )
    assert done.returncode == 1
    assert "rank 1 ended with exit code 0 without telling the end" in done.stderr
    assert marker(zoo.output / "0")["state"] == "failed"


@pytest.mark.parametrize("sink", [">&-", ">&- 2>&-", "> /dev/full"])
def test_output_that_can_not_be_written_is_dropped_and_the_run_goes_on(zoo, sink):
    words = " ".join(f"'{word}'" for word in zoo.command("full_1p", "--train_steps=5"))
    done = zoo.run(["bash", "-c", f"{words} {sink}"])
    assert done.returncode == 0, done.stderr
    assert marker(zoo.output / "0")["state"] == "complete"
