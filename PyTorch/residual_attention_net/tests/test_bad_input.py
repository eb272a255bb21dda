"""A user's mistake gets one clear line and an exit code that is not 0; nothing is half-written."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
import torch
from training_helpers import (
    SMALL,
    checkpoint_of,
    events,
    newest_checkpoint,
    run,
    saved,
    start,
)

from common.core.command_line import exit_code_of
from residual_attention_net import evaluate, finetune, train
from residual_attention_net.network.model import build_network

pytestmark = pytest.mark.pytorch
Told = Callable[..., str]


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


def test_a_batch_larger_than_the_data(told: Told) -> None:
    line = told(train.main, ["--train_batch_size", "65"], 64)
    assert "65" in line and "64 training images" in line


def test_more_validation_images_than_there_are(told: Told) -> None:
    line = told(train.main, ["--validation_count", "5000"], 64)
    assert "5000 images for --validation_count" in line


def test_fewer_classes_than_the_data_has(told: Told) -> None:
    line = told(train.main, ["--num_classes", "5"], 64)
    assert "--num_classes 5 is less than the 10 classes" in line


def test_a_network_for_images_of_another_size(told: Told) -> None:
    line = told(train.main, ["--dataset", "digits"], 64)
    assert "--network small_16input takes 16 x 16, digits has 32 x 32" in line


@pytest.mark.parametrize("mode", ["O1", "O2", "O3", "allow_mix_precision", "force_fp16"])
def test_a_precision_that_a_cpu_does_not_have(told: Told, mode: str) -> None:
    line = told(train.main, ["--precision_mode", mode], 64)
    assert mode in line and "impossible on cpu" in line and "nearest possible mode is" in line


def test_an_unknown_precision(told: Told) -> None:
    assert "'fast' is unknown" in told(train.main, ["--precision_mode", "fast"], 64)


def test_a_loss_scale_where_nothing_is_scaled(told: Told) -> None:
    assert "--loss_scale 128 would change nothing" in told(train.main, ["--loss_scale", "128"], 64)


def test_an_npu_without_torch_npu(told: Told) -> None:
    assert "torch_npu" in told(train.main, ["--device_type", "npu"], 1)


def test_a_gpu_that_is_not_there(told: Told) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "gpu" in told(train.main, ["--device_type", "gpu"], 1).lower()


@pytest.mark.parametrize("place", ["/proc/no_such_folder/run", "/dev/null/run"])
def test_an_output_path_that_can_not_be_written(told: Told, place: str) -> None:
    line = told(train.main, ["--output_path", place], 1)
    assert f"--output_path {place} can't be written" in line


def test_a_data_path_that_does_not_exist(told: Told, tmp_path: Path) -> None:
    line = told(
        train.main,
        [
            "--dataset",
            "cifar10",
            "--data_path",
            str(tmp_path / "none"),
            "--network",
            "92_32input_update",
        ],
        1,
    )
    assert str(tmp_path / "none") in line


def test_an_empty_data_path(told: Told, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    line = told(
        train.main,
        [
            "--dataset",
            "cifar10",
            "--data_path",
            str(tmp_path / "empty"),
            "--network",
            "92_32input_update",
        ],
        1,
    )
    assert str(tmp_path / "empty") in line


def test_resume_without_a_checkpoint(told: Told) -> None:
    assert "there is no whole checkpoint in" in told(train.main, ["--resume"], 1)


def test_resume_with_another_network(told: Told, tmp_path: Path) -> None:
    checkpoint_of(tmp_path / "run", build_network("attention56_cifar", 10))
    line = told(train.main, ["--resume"], 1)
    assert re.search("has network .*'attention56_cifar'.*, this run .*'small_16input'", line)


@pytest.mark.parametrize("program", [evaluate, finetune])
def test_weights_that_are_not_there(told: Told, tmp_path: Path, program: Any) -> None:
    line = told(program.main, ["--pth_path", str(tmp_path / "none.pt")], 1)
    assert "--pth_path {} is no file".format(tmp_path / "none.pt") in line


def test_weights_of_another_network(told: Told, weights: Path) -> None:
    line = told(
        evaluate.main,
        ["--pth_path", str(weights), "--network", "attention56_cifar", "--dataset", "digits"],
        1,
    )
    assert "small_16input" in line


def test_truncated_weights(told: Told, weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:5000])
    assert str(weights) in told(evaluate.main, ["--pth_path", str(weights)], 1)


def test_weights_that_run_code_are_refused_and_not_run(told: Told, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "was_run"),)

    torch.save({"model": Malicious()}, str(tmp_path / "bad.pt"))
    told(evaluate.main, ["--pth_path", str(tmp_path / "bad.pt")], 1)
    assert not (tmp_path / "was_run").exists()


def test_weights_from_the_future(told: Told, tmp_path: Path) -> None:
    path = saved(tmp_path, build_network("small_16input", 10), version=99)
    assert "newer version" in told(evaluate.main, ["--pth_path", str(path)], 1)


def test_evaluation_for_another_number_of_classes(told: Told, weights: Path) -> None:
    line = told(evaluate.main, ["--pth_path", str(weights), "--num_classes", "12"], 1)
    assert "10 classes, the network 12" in line


def test_ranks_that_contradict_the_environment(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert "--device_num is 2, but WORLD_SIZE is 4" in told(train.main, ["--device_num", "2"], 64)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = str(listener.getsockname()[1])
        done = run(
            "train",
            tmp_path / "run",
            "--device_num",
            "2",
            RANK="0",
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
    assert done.returncode == 3, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and port in lines[0] and "in use" in lines[0]
    assert "Traceback" not in done.stdout


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
    done = run(
        "train",
        tiny_disk / "run",
        "--checkpoint_minutes",
        "0",
        "--limit_train",
        "200",
        "--keep_checkpoints",
        "3",
    )
    assert done.returncode == 3, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "no space left" in lines[0]
    assert "Traceback" not in done.stdout
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


def test_a_failed_run_says_why_in_its_log(tmp_path: Path) -> None:
    run("train", tmp_path / "run", "--resume")
    assert not (tmp_path / "run" / "ckpt" / "best.pt").exists()
    last = events(tmp_path / "run")[-1]
    assert (last["event"], last["status"]) == ("end", "failed")
    assert "there is no whole checkpoint" in last["reason"]
