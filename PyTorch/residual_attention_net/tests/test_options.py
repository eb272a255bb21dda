"""What the command lines of the entry points accept."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import List

import pytest

from common.core.errors import UsageError, ZooError
from residual_attention_net.options import make_parser, parse_options

pytestmark = pytest.mark.pytorch
DIGITS = ["--dataset", "digits"]


def test_data_lies_in_the_folder_data_as_the_port_has_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert parse_options("train", []).data_path == "data"


def test_data_path_is_required_where_the_dataset_is_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError, match="--data_path is missing") as caught:
        parse_options("train", [])
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--no_such_flag", "1"], "unrecognized arguments: --no_such_flag"),
        (["--total_epochs", "ten"], "--total_epochs: expected a whole number, not 'ten'"),
        (["--total_epochs", "0"], "--total_epochs: expected at least 1, not 0"),
        (["--seed", "-1"], "--seed: expected at least 0"),
        (["--learning_rate", "0"], "--learning_rate: expected more than 0"),
        (["--dataset", "mnist"], "--dataset: invalid choice: 'mnist'"),
        (["--recipe", "best"], "--recipe: invalid choice: 'best'"),
        (["--network", "resnet"], "--network: invalid choice: 'resnet'"),
        (["--resume", "maybe"], "--resume: expected true or false, not 'maybe'"),
        (["--device_type", "tpu"], "--device_type: invalid choice: 'tpu'"),
        (["--opt_level", "O2", "--precision_mode", "O1"], "contradict"),
        (["--is_pretrain"], "--pth_path is missing"),
        (["--is_train=false"], "--pth_path is missing"),
        (["--spatial_dims", "3"], "belong together"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error_that_names_the_flag(
    flags: List[str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options("train", DIGITS + flags)
    assert message in str(caught.value)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    "spelling, value",
    [(["--resume"], True), (["--resume=True"], True), (["--resume", "false"], False), ([], False)],
)
def test_a_switch_takes_a_value_or_none(spelling: List[str], value: bool) -> None:
    assert parse_options("train", DIGITS + spelling).resume is value


@pytest.mark.parametrize(
    "flag",
    [
        "device_type",
        "device_id",
        "device_num",
        "is_train",
        "is_pretrain",
        "num_classes",
        "total_epochs",
        "dist_url",
        "train_batch_size",
        "test_batch_size",
        "data_path",
        "precision_mode",
        "opt_level",
        "loss_scale",
        "seed",
        "resume",
        "recipe",
    ],
)
def test_the_flags_of_the_original_are_there_and_explained(flag: str) -> None:
    actions = {action.dest: action for action in make_parser("train")._actions}
    assert actions[flag].help


def test_the_recorded_configuration_holds_no_path_and_no_device() -> None:
    config = parse_options(
        "train", DIGITS + ["--data_path", "/data", "--output_path", "/out", "--device_id", "3"]
    ).config()
    assert not set(config) & {"data_path", "output_path", "pth_path", "device_id", "device_type"}
    assert config["recipe"] == "reference"


def test_the_ports_own_spelling_of_the_device_is_known() -> None:
    assert parse_options("train", DIGITS + ["--device_type=NPU"]).device_type == "npu"


def test_a_shell_without_cann_answers_help(tmp_path) -> None:
    """torch would load torch_npu at its own import, and end with its traceback."""
    package = tmp_path / "torch_npu"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libhccl.so: cannot open')")
    info = tmp_path / "torch_npu-2.13.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_npu\nVersion: 2.13.0\n")
    (info / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    done = subprocess.run(
        [sys.executable, "-m", "residual_attention_net.train", "--help"],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path])),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr
