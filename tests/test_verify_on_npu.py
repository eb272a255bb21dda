"""scripts/verify_on_npu.sh with a stand-in for Python: its parts, its end, its archive."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, List

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "verify_on_npu.sh"
NETWORKS = ("residual_attention_net", "slot_attention/object_discovery",
            "slot_attention/set_prediction", "protoattend")
STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >> "{folder}/calls"
case "$*" in *"$FAILS"*) [ -z "$FAILS" ] || {{ echo "what went wrong"; exit 3; }} ;; esac
for word in "$@"; do
  case "$word" in --output_path=*)
    run="${{word#--output_path=}}"
    mkdir -p "$run/ckpt" "$run/rank_0"
    echo weights > "$run/ckpt/state.json"; echo '{{}}' > "$run/record.json"
    echo line > "$run/rank_0/metrics.jsonl" ;;
  esac
done
"""


@pytest.fixture
def verify(tmp_path: Path) -> Any:
    python = tmp_path / "python3"
    python.write_text(STAND_IN.format(folder=tmp_path))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)

    def run(*words: str, **variables: str) -> Any:
        command = ["bash", str(SCRIPT), "--output_path", str(tmp_path / "out")] + list(words)
        return subprocess.run(
            command, env={**os.environ, "ZOO_PYTHON": str(python), "FAILS": "", **variables},
            cwd=str(tmp_path), capture_output=True, text=True, timeout=60)

    return run


def calls(tmp_path: Path) -> List[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_every_network_is_trained_in_float32_and_in_its_own_precision(
        verify: Any, tmp_path: Path) -> None:
    done = verify("--networks", ",".join(NETWORKS))
    assert done.returncode == 0, done.stdout + done.stderr
    for network in NETWORKS:
        label = network.replace("/", "_")
        for part in ("float32", "default", "resumed_again", "evaluation", "profile", "diverge"):
            assert "passed   {}-{}".format(label, part) in done.stdout


def test_resume_goes_on_in_the_run_that_was_stopped(verify: Any, tmp_path: Path) -> None:
    verify("--networks", "protoattend")
    folder = "--output_path={}/out/runs/protoattend-resumed ".format(tmp_path)
    first, second = [call for call in calls(tmp_path) if folder in call + " "]
    assert "--resume" not in first.split() and "--resume" in second.split()


def test_the_archive_has_logs_and_records_and_neither_weights_nor_secrets(
        verify: Any, tmp_path: Path) -> None:
    verify("--networks", "protoattend", MY_PASSWORD="hidden", ASCEND_HOME_PATH="/told")
    (archive,) = (tmp_path / "out").glob("*.tar.gz")
    with tarfile.open(str(archive)) as packed:
        names = packed.getnames()
        machine = packed.extractfile("logs/machine.log")
        assert machine is not None
        text = machine.read().decode()
    assert "runs/protoattend-float32/record.json" in names and "logs/doctor.log" in names
    assert not [name for name in names if "/ckpt/" in name]
    assert "/told" in text and "hidden" not in text


def test_a_part_that_fails_is_told_and_the_next_ones_run(verify: Any, tmp_path: Path) -> None:
    done = verify("--networks", "protoattend", FAILS="protoattend-default")
    assert done.returncode == 1
    assert "FAILED   protoattend-default (exit code 3): what went wrong" in done.stdout
    assert "passed   protoattend-profile" in done.stdout and "send back:" in done.stdout


def test_a_second_call_repeats_what_failed_alone(verify: Any, tmp_path: Path) -> None:
    verify("--networks", "protoattend", FAILS="protoattend-default")
    (tmp_path / "calls").unlink()
    again = verify("--networks", "protoattend")
    assert again.returncode == 0
    launched = [call for call in calls(tmp_path) if "-m common" in call]
    assert len(launched) == 1 and "protoattend-default" in launched[0]


def test_more_devices_than_there_are_are_left_out_and_said(verify: Any) -> None:
    if list(Path("/dev").glob("davinci[0-9]*")):
        pytest.skip("this machine has NPUs")
    assert "left out protoattend-8_ranks" in verify("--networks", "protoattend").stdout


def test_a_dry_run_prints_the_commands_and_does_nothing(verify: Any, tmp_path: Path) -> None:
    done = verify("--networks", "slot_attention/object_discovery", "--dry_run")
    assert "--iterations_per_loop=10" in done.stdout and "--ranks=8" in done.stdout
    assert not (tmp_path / "out").exists() and not (tmp_path / "calls").exists()


@pytest.mark.parametrize("words, said", [
    (["--minutes", "soon"], "whole number"), (["--ranks", "all"], "numbers such as 2,8"),
    (["--fast"], "unknown argument --fast"), (["--networks"], "needs a value")])
def test_wrong_arguments_are_told(verify: Any, words: List[str], said: str) -> None:
    done = verify(*words)
    assert (done.returncode, said in done.stderr) == (64, True)


def test_every_command_is_one_that_the_launcher_understands(verify: Any, tmp_path: Path) -> None:
    """The flags of each launch, with --dry_run, by the real launcher."""
    listing = verify("--networks", ",".join(NETWORKS), "--dry_run").stdout.splitlines()
    launches = [line.split(" -m common launch ")[1] for line in listing if " launch " in line]
    assert len(launches) > 30
    root = str(SCRIPT.parents[1])
    chosen = [line for line in launches if "tensors_npu" in line or "device_loop" in line
              or "8_ranks" in line or "evaluation" in line]
    for line in chosen[::3]:
        words = [word for word in line.split() if not word.startswith(("--dump_from", "--pth_path",
                                                                      "--checkpoint"))]
        (tmp_path / "out" / "data").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "common", "launch"] + words + ["--dry_run"], cwd=root,
            env=dict(os.environ, PYTHONPATH=root), capture_output=True,
            text=True, timeout=60)
        assert done.returncode == 0 or "is missing" in done.stderr, line + done.stderr
