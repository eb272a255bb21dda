"""A user's mistake gets one clear line and an exit code that is not 0; nothing is half-written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
import torch
from training_helpers import (
    SMALL,
    checkpoint_of,
    error_line,
    newest_checkpoint,
    run,
    saved,
    start,
)

from common.core.command_line import exit_code_of
from residual_attention_net import evaluate, train
from residual_attention_net.network.model import build_network

pytestmark = pytest.mark.pytorch
Told = Callable[..., str]
OF_CIFAR10 = ["--dataset=cifar10", "--network=92_32input_update"]


@pytest.fixture()
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs an entry point's main in this process; returns its one error line."""

    def call(main: Any, flags: List[str], code: int) -> str:
        words = ["--output_path", str(tmp_path / "run")] + SMALL + flags
        assert exit_code_of(main, words) == code
        lines = [line for line in capsys.readouterr().err.splitlines() if line]
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        return lines[0]

    return call


@pytest.fixture()
def weights(tmp_path: Path) -> Path:
    """A whole checkpoint of the small network."""
    return checkpoint_of(tmp_path / "weights", build_network("small_16input", 10))


@pytest.mark.parametrize(
    "flags, code, parts",
    [
        (["--precision_mode", "O1"], 64, ["O1", "impossible on cpu", "nearest possible mode"]),
        (["--precision_mode", "fast"], 64, ["'fast' is unknown"]),
        (["--opt_level", "O2"], 64, ["--precision_mode O2 is impossible"]),
        (["--device_type", "npu"], 1, ["torch_npu"]),
        (["--output_path", "/proc/no/run"], 1, ["--output_path /proc/no/run can't be written"]),
        (["--output_path", "/dev/null/run"], 1, ["--output_path /dev/null/run can't be written"]),
        ([*OF_CIFAR10, "--data_path={}/none"], 1, ["{}/none"]),
        ([*OF_CIFAR10, "--data_path={}"], 1, ["{}"]),
        (["--resume"], 1, ["there is no whole checkpoint in"]),
        (["--is_pretrain", "--pth_path={}/none.pt"], 1, ["--pth_path {}/none.pt is no file"]),
    ],
)
def test_a_mistake_is_one_line(
    told: Told, tmp_path: Path, flags: List[str], code: int, parts: List[str]
) -> None:
    line = told(train.main, [flag.format(tmp_path) for flag in flags], code)
    assert all(part.format(tmp_path) in line for part in parts), line


@pytest.mark.parametrize(
    "flags, part",
    [
        (["--network", "attention56_cifar", "--dataset", "digits"], "small_16input"),
        (["--num_classes", "12"], "10 classes, the network 12"),
    ],
)
def test_weights_of_another_network(told: Told, weights: Path, flags: List[str], part: str) -> None:
    assert part in told(evaluate.main, ["--pth_path", str(weights), *flags], 1)


def test_damaged_missing_and_newer_weights(told: Told, tmp_path: Path, weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:5000])
    newer = saved(tmp_path, build_network("small_16input", 10), version=99)
    for path, part in (
        (weights, str(weights)),
        (newer, "newer version"),
        (tmp_path / "none.pt", f"--pth_path {tmp_path / 'none.pt'} is no file"),
    ):
        assert part in told(evaluate.main, ["--pth_path", str(path)], 1)


def test_weights_that_run_code_are_refused_and_not_run(told: Told, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "was_run"),)

    torch.save({"model": Malicious()}, str(tmp_path / "bad.pt"))
    told(evaluate.main, ["--pth_path", str(tmp_path / "bad.pt")], 1)
    assert not (tmp_path / "was_run").exists()


@pytest.fixture()
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB, which the third checkpoint of the small network fills."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.call(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], stderr=subprocess.DEVNULL
    )
    if mounted != 0:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.check_call(["umount", str(folder)])


@pytest.mark.long
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(tiny_disk: Path) -> None:
    flags = ["--checkpoint_minutes=0", "--limit_train=200", "--keep_checkpoints=3"]
    done = run("train", tiny_disk / "run", *flags)
    assert done.returncode == 3 and "no space left" in error_line(done.stdout)
    assert newest_checkpoint(tiny_disk / "run")["step"] >= 1


@pytest.mark.long
def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    process = start("train", tmp_path / "run", "--total_epochs", "500")
    while not (tmp_path / "run" / "rank_0" / "metrics.jsonl").exists():
        assert process.poll() is None
    process.terminate()
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode in (143, -15)
