"""The flags that only an NPU knows: what they ask for there, and how they are refused elsewhere."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from common.ascend.flags import NpuFlags, npu_options
from common.ascend.session import NpuOptions
from common.core.errors import UsageError, ZooError
from common.core.flags import Program
from common.machine.precision import Capabilities, resolve
from common.machine.ranks import ALONE, Place


def parsed(*words: str, training: bool = True) -> NpuFlags:
    return Program("test", NpuFlags, ("train" if training else "evaluate",)).read(words)


def precision_on(kind: str, mode: str = "O0") -> Any:
    return resolve(mode, "tensorflow", kind, Capabilities("1.15.0"))


def asked(
    tmp_path: Path,
    *words: str,
    mode: str = "O0",
    rank: int = 0,
    profile: bool = False,
    own: NpuOptions = NpuOptions(),  # noqa: B008
) -> NpuOptions:
    return npu_options(
        parsed(*words), precision_on("npu", mode), tmp_path, Place(rank, 8, rank), own, profile
    )


def test_without_flags_a_networks_own_wishes_hold(tmp_path: Path) -> None:
    own = NpuOptions(mix_compile_mode=True, modify_mixlist="own.json")
    assert asked(tmp_path, own=own) == own


def test_steps_per_run_of_the_session(tmp_path: Path) -> None:
    assert asked(tmp_path, "--iterations_per_loop=10").iterations_per_loop == 10


@pytest.mark.parametrize(
    "flag, field, folder",
    [
        ("--data_dump_flag", "data_dump_folder", "data_dump"),
        ("--over_dump=True", "overflow_dump_folder", "overflow_dump"),
        ("--autotune", "autotune_folder", "autotune"),
    ],
)
def test_what_the_device_writes_goes_to_a_folder_of_the_rank_or_of_the_device_before_it_is_known(
    tmp_path: Path, flag: str, field: str, folder: str
) -> None:
    path = tmp_path / "rank_3" / folder
    assert getattr(asked(tmp_path, flag, rank=3), field) == str(path) and path.is_dir()
    unknown = Place(0, 2, 5, numbered_by_hccl=True)
    found = npu_options(parsed(flag), precision_on("npu"), tmp_path, unknown)
    assert getattr(found, field) == str(tmp_path / "device_5" / folder)
    profiled = asked(tmp_path, profile=True).profiling_folder
    assert profiled == str(tmp_path / "rank_0/profiling")


def test_without_flags_no_folder_is_made(tmp_path: Path) -> None:
    asked(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_steps_of_a_dump(tmp_path: Path) -> None:
    assert asked(tmp_path, "--data_dump_flag").data_dump_step == "10"
    assert asked(tmp_path, "--data_dump_flag", "--data_dump_step=0|5-7").data_dump_step == "0|5-7"


@pytest.mark.parametrize("text", ["", "a", "3-1", "5-5", "1||2", "1,2", "|".join(["1"] * 101)])
def test_other_steps_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="data_dump_step"):
        parsed("--data_dump_step=" + text)


@pytest.mark.parametrize(
    "words, match",
    [
        (["--data_dump_flag", "--over_dump"], "exclude each other"),
        (["--data_dump_step=3"], "needs --data_dump_flag"),
    ],
)
def test_flags_that_contradict_are_refused(tmp_path: Path, words: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        asked(tmp_path, *words)


def test_no_loop_where_a_part_of_the_step_is_on_the_host(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mix_compile_mode"):
        asked(tmp_path, "--iterations_per_loop=2", own=NpuOptions(mix_compile_mode=True))


@pytest.mark.parametrize(
    "word",
    [
        "--iterations_per_loop=2",
        "--data_dump_flag",
        "--over_dump",
        "--autotune",
        "--customize_dtypes=x",
        "--modify_mixlist=x",
    ],
)
def test_elsewhere_each_flag_is_refused_by_name(tmp_path: Path, word: str) -> None:
    name = word.partition("=")[0]
    with pytest.raises(UsageError, match=f"{name} is for an NPU and this run is on cpu"):
        npu_options(parsed(word), precision_on("cpu"), tmp_path, ALONE)


def test_flags_that_switch_off_are_welcome_everywhere(tmp_path: Path) -> None:
    words = [
        "--data_dump_flag=False",
        "--over_dump=False",
        "--autotune=False",
        "--data_dump_step=10",
    ]
    assert npu_options(parsed(*words), precision_on("cpu"), tmp_path, ALONE) == NpuOptions()


def test_the_users_file_comes_before_the_networks(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"black-list": {"to-add": ["MatMul"]}}')
    own = NpuOptions(modify_mixlist="own.json")
    found = asked(tmp_path, f"--modify_mixlist={path}", mode="mixed_float16", own=own)
    assert found.modify_mixlist == str(path)


def test_files_are_checked_before_anything_is_compiled(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="--customize_dtypes"):
        asked(tmp_path, "--customize_dtypes={}".format(tmp_path / "none"))


def test_evaluation_knows_the_files_and_not_the_loop() -> None:
    assert parsed("--customize_dtypes=a", training=False).customize_dtypes == "a"
    with pytest.raises(UsageError, match="iterations_per_loop"):
        parsed("--iterations_per_loop=2", training=False)


def test_an_evaluation_is_dumped_and_profiled_on_an_npu_alone(tmp_path: Path) -> None:
    flags = parsed("--over_dump", "--profiling", training=False)
    found = npu_options(flags, precision_on("npu"), tmp_path, ALONE)
    assert found.overflow_dump_folder and found.profiling_folder
    with pytest.raises(UsageError, match="--profiling is for an NPU and this run is on cpu"):
        npu_options(parsed("--profiling", training=False), precision_on("cpu"), tmp_path, ALONE)


def test_a_configuration_tells_what_decides_the_result_and_only_where_it_was_given(
    tmp_path: Path,
) -> None:
    path = tmp_path / "types.txt"
    path.write_text("x")
    assert parsed("--over_dump").config() == {}
    told = parsed(f"--customize_dtypes={path}", "--iterations_per_loop=4").config()
    assert told["iterations_per_loop"] == 4 and len(told["customize_dtypes_sha256"]) == 64


def test_options_need_not_come_from_a_command_line(tmp_path: Path) -> None:
    options = types.SimpleNamespace(**vars(parsed()))
    assert npu_options(options, precision_on("npu"), tmp_path, ALONE) == NpuOptions()
