"""What an NPU's TensorFlow session is told: flags, parameters, type files, compiled graphs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from common.ascend.compiled_graphs import LINE, CompilationWatch
from common.ascend.flags import (
    LOOP,
    NpuFlags,
    check_customize_dtypes,
    check_modify_mixlist,
    npu_parameters,
)
from common.core.errors import ZooError
from common.core.flags import Program
from common.machine.precision import Capabilities, resolve
from common.machine.ranks import ALONE, Place

MIXED = "allow_mix_precision"
OWN = {"mix_compile_mode": True, "modify_mixlist": os.path.abspath("own.json")}


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
) -> Any:
    flags = parsed(*words, training=more.pop("training", True))
    about = (precision_on(kind, mode), folder, place, more.pop("asked", {}))
    return npu_parameters(flags, *about, **more)


# --- flags ---


def test_without_flags_a_networks_own_wishes_hold_and_no_folder_is_made(tmp_path: Path) -> None:
    assert asked(tmp_path, asked=OWN) == OWN and not list(tmp_path.iterdir())


PROFILE = {"task_trace": "on", "training_trace": "on", "fp_point": "", "bp_point": ""}


@pytest.mark.parametrize(
    "words, folder, told",
    [
        # A loop on the device fetches its data in the graph.
        (["--iterations_per_loop=10"], "", {LOOP: 10, "enable_data_pre_proc": True}),
        (
            ["--data_dump_flag", "--data_dump_step=0|5-7"],
            "data_dump",
            {"enable_dump": True, "dump_mode": "all", "dump_step": "0|5-7", "dump_path": None},
        ),
        (
            ["--over_dump=True"],
            "overflow_dump",
            {"enable_dump_debug": True, "dump_debug_mode": "all", "dump_path": None},
        ),
        (["--autotune"], "autotune", {"aoe_mode": "2", "work_path": None}),  # operators alone
    ],
)
def test_a_flag_is_told_with_a_folder_of_the_rank_or_of_the_device_before_it_is_known(
    tmp_path: Path, words: Any, folder: str, told: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for place, own in (
        (Place(3, 8, 3), "rank_3"),
        (Place(0, 2, 5, numbered_by_hccl=True), "device_5"),
    ):
        path = tmp_path / own / folder
        found = asked(Path(), *words, place=place)
        assert found == {name: value or str(path) for name, value in told.items()}
        assert all(type(found[name]) is type(told[name] or "") for name in told)
        assert not folder or path.is_dir()


@pytest.mark.parametrize("more", [{"profile": True}, {"training": False, "device": True}])
def test_a_profile_goes_to_its_folder_with_the_points_that_the_manual_wants(
    tmp_path: Path, more: Any
) -> None:
    words = ["--profiling"] * bool(more.get("device"))
    more = {name: value for name, value in more.items() if name != "device"}
    found = asked(tmp_path, *words, **more)
    choices = json.loads(found["profiling_options"])
    assert found["profiling_mode"] is True and {**choices, **PROFILE} == choices
    assert choices["output"] == str(tmp_path / "rank_0/profiling")


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
    assert asked(tmp_path, *words, "--data_dump_step=10", kind="cpu") == {}


def test_the_users_file_comes_before_the_networks(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"black-list": {"to-add": ["MatMul"]}}')
    found = asked(tmp_path, f"--modify_mixlist={path}", mode=MIXED, asked=OWN)
    assert found == {**OWN, "modify_mixlist": str(path)}


def test_a_configuration_tells_what_decides_the_result_and_only_where_it_was_given(
    tmp_path: Path,
) -> None:
    path = tmp_path / "types.txt"
    path.write_text("x")
    assert parsed("--over_dump").config() == {}
    told = parsed(f"--customize_dtypes={path}", "--iterations_per_loop=4").config()
    assert told["iterations_per_loop"] == 4 and len(told["customize_dtypes_sha256"]) == 64


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
