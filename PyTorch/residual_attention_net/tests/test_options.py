"""What the command lines of the entry points accept."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import List

import pytest

from common.core.errors import UsageError, ZooError
from residual_attention_net.options import parse_options
from tests.processes import environment

pytestmark = pytest.mark.pytorch
DIGITS = ["--dataset", "digits"]
OF_TENSORFLOW = pytest.mark.parametrize("flag", ["data_dump_flag", "over_dump", "autotune"])


def test_data_lies_in_the_folder_data_as_the_port_has_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError, match="--data_path is missing") as caught:
        parse_options("train", [])
    assert caught.value.exit_code == 1
    (tmp_path / "data").mkdir()
    assert parse_options("train", []).data_path == "data"


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--seed", "-1"], "--seed: expected at least 0"),
        (["--dataset", "mnist"], "--dataset: invalid choice: 'mnist'"),
        (["--opt_level", "O2", "--precision_mode", "O1"], "contradict"),
        (["--is_pretrain"], "--pth_path is missing"),
        (["--is_train=false"], "--pth_path is missing"),
        (["--spatial_dims", "3"], "belong together"),
        (["--is_train=false", "--pth_path=w", "--profiling"], "traces steps of training"),
        (["--compile", "--dump_tensors", "2"], "leave --compile out"),
    ],
)
def test_flags_that_contradict_are_a_usage_error(flags: List[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_options("train", DIGITS + flags)


@pytest.mark.parametrize(
    "word, field, value",
    [
        ("--device_type=NPU", "device_type", "npu"),
        ("--device=cpu", "device_type", "cpu"),
        ("--ranks=2", "device_num", 2),
        ("--train_epochs=2", "total_epochs", 2),
        ("--checkpoint=w", "pth_path", "w"),
        ("--train_url=o", "output_path", "o"),
        ("--data_url=d", "data_path", "d"),
    ],
)
def test_the_launchers_and_the_ports_names_are_known(word: str, field: str, value: object) -> None:
    assert getattr(parse_options("train", DIGITS + [word]), field) == value


@pytest.mark.parametrize("word", ["--local_rank=1", "--local-rank=1", "--data_dump_step=3"])
def test_what_torch_distributed_launch_and_the_modelzoo_add_changes_nothing(word: str) -> None:
    plain = parse_options("train", DIGITS)
    assert parse_options("train", [*DIGITS, word]).config() == plain.config()


@OF_TENSORFLOW
@pytest.mark.parametrize("program", ["train", "evaluate", "finetune"])
def test_flags_of_tensorflow_are_welcome_switched_off_and_refused_by_name_switched_on(
    program: str, flag: str
) -> None:
    words = [*DIGITS, "--pth_path", "weights"]
    for value in ("=false", "=False", "=0"):
        given = parse_options(program, [*words, "--" + flag + value])
        assert given == parse_options(program, words)
    for value in ("", "=True"):
        with pytest.raises(UsageError, match=f"--{flag}.*--dump_tensors.*--profiling"):
            parse_options(program, [*words, "--" + flag + value])


@pytest.mark.parametrize(
    "program", ["train", "evaluate", "finetune", "predict", "visualize", "export"]
)
def test_a_shell_without_cann_answers_help_and_no_program_but_evaluate_loads_torch(
    program: str, tmp_path
) -> None:
    """torch would load torch_npu at its own import, and end with its traceback."""
    package = tmp_path / "torch_npu"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libhccl.so: cannot open')")
    info = tmp_path / "torch_npu-2.13.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_npu\nVersion: 2.13.0\n")
    (info / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    code = (
        f"import sys; from residual_attention_net import {program} as program\n"
        "try: program.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "loaded = {'torch', 'matplotlib'} & set(sys.modules)\n"
        f"assert loaded == ({{'torch'}} if {program == 'evaluate'} else set()), loaded"
    )
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr


def test_flags_are_declared_without_what_takes_long_to_import() -> None:
    """The launcher reads them before every start."""
    code = (
        "import sys, residual_attention_net.options as _; "
        "sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
