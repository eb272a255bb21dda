"""What an NPU's TensorFlow session is told: flags, parameters, type files, compiled graphs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from common.ascend.compiled_graphs import LINE, CompilationWatch
from common.ascend.flags import (
    NpuFlags,
    check_customize_dtypes,
    check_modify_mixlist,
    npu_options,
)
from common.ascend.session import NpuOptions, session_parameters
from common.core.errors import ZooError
from common.core.flags import Program
from common.machine.precision import Capabilities, resolve
from common.machine.ranks import ALONE, Place

HERE = os.getcwd()
MIXED = "allow_mix_precision"
OWN = NpuOptions(mix_compile_mode=True, modify_mixlist="own.json")


def parsed(*words: str, training: bool = True) -> NpuFlags:
    return Program("test", NpuFlags, ("train" if training else "evaluate",)).read(words)


def precision_on(kind: str, mode: str = "O0") -> Any:
    return resolve(mode, "tensorflow", kind, Capabilities("1.15.0"))


def asked(
    folder: Path,
    *words: str,
    kind: str = "npu",
    mode: str = "O0",
    place: Place = ALONE,
    **more: Any,
) -> NpuOptions:
    flags = parsed(*words, training=more.pop("training", True))
    return npu_options(flags, precision_on(kind, mode), folder, place, **more)


# --- flags ---


def test_without_flags_a_networks_own_wishes_hold_and_no_folder_is_made(tmp_path: Path) -> None:
    assert asked(tmp_path, asked=OWN) == OWN and not list(tmp_path.iterdir())


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
    assert getattr(asked(tmp_path, flag, place=Place(3, 8, 3)), field) == str(path)
    assert path.is_dir()
    found = asked(tmp_path, flag, place=Place(0, 2, 5, numbered_by_hccl=True))
    assert getattr(found, field) == str(tmp_path / "device_5" / folder)


def test_steps_of_a_loop_and_of_a_dump_are_told(tmp_path: Path) -> None:
    found = asked(tmp_path, "--iterations_per_loop=10", "--data_dump_flag", profile=True)
    assert (found.iterations_per_loop, found.data_dump_step) == (10, "10")
    assert found.profiling_folder == str(tmp_path / "rank_0/profiling")
    words = ["--data_dump_flag", "--data_dump_step=0|5-7"]
    assert asked(tmp_path, *words).data_dump_step == "0|5-7"
    found = asked(tmp_path, "--over_dump", "--profiling", training=False)
    assert found.overflow_dump_folder and found.profiling_folder


@pytest.mark.parametrize(
    "words, more, told",
    [
        *[
            ([f"--data_dump_step={text}"], {}, "data_dump_step")
            for text in ("", "a", "3-1", "5-5", "1||2", "1,2", "|".join(["1"] * 101))
        ],
        (["--data_dump_flag", "--over_dump"], {}, "exclude each other"),
        (["--data_dump_step=3"], {}, "needs --data_dump_flag"),
        (["--iterations_per_loop=2"], {"asked": OWN}, "mix_compile_mode"),
        (["--iterations_per_loop=2"], {"training": False}, "iterations_per_loop"),
        (["--customize_dtypes=none"], {"mode": MIXED}, "none can't be read"),
        *[  # elsewhere each flag is refused by name
            ([word], {"kind": "cpu"}, f"{word.partition('=')[0]} is for an NPU and this run is on")
            for word in (
                "--iterations_per_loop=2",
                "--data_dump_flag",
                "--over_dump",
                "--autotune",
                "--customize_dtypes=x",
                "--modify_mixlist=x",
            )
        ],
        (["--profiling"], {"kind": "cpu", "training": False}, "--profiling is for an NPU"),
    ],
)
def test_flags_that_can_not_be_followed_are_refused(
    tmp_path: Path, words: Any, more: Any, told: str
) -> None:
    with pytest.raises(ZooError, match=told):
        asked(tmp_path, *words, **more)


def test_flags_that_switch_off_are_welcome_everywhere(tmp_path: Path) -> None:
    words = ["--data_dump_flag=False", "--over_dump=False", "--autotune=False"]
    assert asked(tmp_path, *words, "--data_dump_step=10", kind="cpu") == NpuOptions()


def test_the_users_file_comes_before_the_networks(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"black-list": {"to-add": ["MatMul"]}}')
    found = asked(tmp_path, f"--modify_mixlist={path}", mode=MIXED, asked=OWN)
    assert found.modify_mixlist == str(path)


def test_a_configuration_tells_what_decides_the_result_and_only_where_it_was_given(
    tmp_path: Path,
) -> None:
    path = tmp_path / "types.txt"
    path.write_text("x")
    assert parsed("--over_dump").config() == {}
    told = parsed(f"--customize_dtypes={path}", "--iterations_per_loop=4").config()
    assert told["iterations_per_loop"] == 4 and len(told["customize_dtypes_sha256"]) == 64


# --- parameters ---


PLAIN_SESSION = {
    "use_off_line": True,
    "mix_compile_mode": False,
    "graph_run_mode": 1,
    "precision_mode": "force_fp16",
}


@pytest.mark.parametrize(
    "options, told",
    [
        ({}, {}),
        ({"device": 3}, {"session_device_id": 3}),  # ASCEND_DEVICE_ID says another
        ({"world_size": 8}, {"hcom_parallel": True}),  # the exchange overlaps the backward pass
        # A loop on the device fetches its data in the graph.
        ({"iterations_per_loop": 10}, {"iterations_per_loop": 10, "enable_data_pre_proc": True}),
        ({"modify_mixlist": "mix.json"}, {"modify_mixlist": os.path.join(HERE, "mix.json")}),
        (
            {"data_dump_folder": "/d", "data_dump_step": "0|5"},
            {"enable_dump": True, "dump_mode": "all", "dump_step": "0|5", "dump_path": "/d"},
        ),
        (
            {"overflow_dump_folder": "/o"},
            {"enable_dump_debug": True, "dump_debug_mode": "all", "dump_path": "/o"},
        ),
        ({"autotune_folder": "/t"}, {"aoe_mode": "2", "work_path": "/t"}),  # operators alone
    ],
)
def test_a_session_is_told_what_is_asked_for_by_absolute_paths_and_nothing_else(
    options: Any, told: Any
) -> None:
    given = {"device": 0, "world_size": 1, **options}
    place = given.pop("device"), given.pop("world_size"), {"ASCEND_DEVICE_ID": "0"}
    found = session_parameters(NpuOptions(**given), "force_fp16", *place)
    assert found == {**PLAIN_SESSION, **told}
    assert all(type(found[name]) is type(told[name]) for name in told)


def test_a_profile_goes_to_its_folder_with_the_points_that_the_manual_wants() -> None:
    told = session_parameters(NpuOptions(profiling_folder="there"), "force_fp16", 0, 1, {})
    choices = json.loads(str(told["profiling_options"]))
    assert told["profiling_mode"] is True and choices["output"] == os.path.join(HERE, "there")
    assert choices["training_trace"] == "on" and {"fp_point", "bp_point"} <= set(choices)


# --- files of types ---


GOOD, LINE_2 = "OpType::A:InputDtype:int8,OutputDtype:int8\n", "line 2"
KEEP, NO_FORM = "must_keep_origin_dtype", "--modify_mixlist"


@pytest.mark.parametrize(
    "check, text, mode, told",
    [
        *[
            (check_customize_dtypes, f"{GOOD}{line}\n", MIXED, told)
            for line, told in (
                ("OpType::MatMulV2:InputDtype:float16,float16,float32,OutputDtype:float32", ""),
                ("resnet/block1/Relu::InputDtype:float16,int8,OutputDtype:float16,int8", ""),
                ("OpType::MatMulV2:InputDtype:float16,,float16", ""),
                ("Gemm_1732::OutputDtype:float32", ""),
                ("MatMulV2:InputDtype:float16,OutputDtype:float32", LINE_2),
                ("Opname::network/dense:InputDtype:float32,OutputDtype:float32", LINE_2),
                ("OpType::MatMulV2:", LINE_2),
                ("OpType:A:InputDtype:int8,OutputDtype:int8", LINE_2),
                ("", LINE_2),
                ("a" * 1024 + "::InputDtype:float16", LINE_2),
            )
        ],
        (check_customize_dtypes, "", MIXED, "names no operation"),
        (check_customize_dtypes, GOOD, KEEP, f"no effect with --precision_mode {KEEP}"),
        *[
            (check_modify_mixlist, text, MIXED, told)
            for text, told in (
                ('{"black-list": {"to-add": ["MatMul"], "to-remove": ["Conv2D"]}}', ""),
                ("{}", NO_FORM),
                ("[]", NO_FORM),
                ('{"black": {"to-add": []}}', NO_FORM),
                ('{"black-list": ["MatMul"]}', NO_FORM),
                ('{"black-list": {"add": ["MatMul"]}}', NO_FORM),
                ('{"white-list": {"to-add": [1]}}', NO_FORM),
                ("not json", NO_FORM),
            )
        ],
        (check_modify_mixlist, "{}", "allow_fp32_to_fp16", "mixed --precision_mode"),
    ],
)
def test_a_file_of_types_has_the_manuals_form_and_a_mode_in_which_it_has_an_effect(
    tmp_path: Path, check: Any, text: str, mode: str, told: str
) -> None:
    (tmp_path / "file").write_text(text)
    if not told:
        check(str(tmp_path / "file"), mode)
        return
    with pytest.raises(ZooError, match=told):
        check(str(tmp_path / "file"), mode)


# --- compiled graphs ---


SAID = b"I geop_npu.cc:765] " + LINE + b", current graph id is: 1\n"


@pytest.fixture
def log(tmp_path: Path):
    with open(str(tmp_path / "log"), "wb", buffering=0) as stream:
        yield stream


def test_whole_lines_are_counted_from_where_the_log_was_and_a_pipe_has_no_count(log: Any) -> None:
    log.write(SAID)
    watch = CompilationWatch(True, log.fileno())
    assert "no line says" in str(watch.proof())
    log.write(b"other\n" + SAID + SAID[:40])
    assert watch.proof() == watch.proof() == "1 graph(s) compiled for the NPU"
    log.write(SAID[40:])
    assert watch.proof() == "2 graph(s) compiled for the NPU"
    reading, writing = os.pipe()
    assert CompilationWatch(True, writing).proof() is None
    assert CompilationWatch(False, log.fileno()).proof() is None
    os.close(reading)
    os.close(writing)


def test_a_watch_tells_first_step_later_steps_and_the_rest_apart(log: Any) -> None:
    watch = CompilationWatch(True, log.fileno())
    log.write(SAID)  # the initialisers
    watch.before_step()
    assert watch.after_step() == 0 and "may not have run there" in str(watch.proof())
    watch = CompilationWatch(True, log.fileno())
    watch.before_step()
    log.write(SAID + SAID)
    assert watch.after_step() == 0
    log.write(SAID)  # an evaluation
    watch.before_step()
    assert watch.after_step() == 0
    watch.before_step()
    log.write(SAID)
    assert watch.after_step() == 1
    assert watch.proof() == (
        "4 graph(s) compiled for the NPU: 2 in the first training step, 1 in later steps"
    )
