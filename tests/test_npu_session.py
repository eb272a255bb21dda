"""What an NPU's TensorFlow session is told: parameters, type files, counts of compiled graphs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from common.ascend.compiled_graphs import LINE, CompilationWatch, CompiledLines
from common.ascend.flags import check_customize_dtypes, check_modify_mixlist
from common.ascend.session import NpuOptions, session_parameters
from common.core.errors import UsageError, ZooError

SAID = b"I geop_npu.cc:765] " + LINE + b", current graph id is: 1\n"


def parameters(world_size: int = 1, **options: Any) -> Any:
    return session_parameters(
        NpuOptions(**options), "force_fp16", 0, world_size, {"ASCEND_DEVICE_ID": "0"}
    )


# --- parameters ---


def test_a_plain_session_says_device_training_and_precision_and_nothing_else() -> None:
    assert parameters() == {
        "use_off_line": True,
        "mix_compile_mode": False,
        "graph_run_mode": 1,
        "precision_mode": "force_fp16",
    }


def test_an_ascend_device_id_that_disagrees_is_overruled() -> None:
    told = session_parameters(NpuOptions(), "origin", 3, 1, {"ASCEND_DEVICE_ID": "0"})
    assert told["session_device_id"] == 3


HERE = os.getcwd()


@pytest.mark.parametrize(
    "options, told",
    [
        ({"world_size": 8}, {"hcom_parallel": True}),  # the exchange overlaps the backward pass
        # A loop on the device fetches its data in the graph.
        ({"iterations_per_loop": 10}, {"iterations_per_loop": 10, "enable_data_pre_proc": True}),
        ({"customize_dtypes": "types.txt"}, {"customize_dtypes": os.path.join(HERE, "types.txt")}),
        ({"modify_mixlist": "mix.json"}, {"modify_mixlist": os.path.join(HERE, "mix.json")}),
        (
            {"data_dump_folder": "/d", "data_dump_step": "0|5|10-20"},
            {
                "enable_dump": True,
                "dump_mode": "all",
                "dump_step": "0|5|10-20",
                "dump_path": "/d",
            },
        ),
        (
            {"overflow_dump_folder": "/o"},
            {"enable_dump_debug": True, "dump_debug_mode": "all", "dump_path": "/o"},
        ),
        ({"autotune_folder": "/t"}, {"aoe_mode": "2", "work_path": "/t"}),  # operators alone
    ],
)
def test_what_is_asked_for_is_told_by_absolute_paths_and_nothing_else(
    options: Any, told: Any
) -> None:
    found = dict(parameters(**options).items() - parameters().items())
    assert found == told and all(type(found[name]) is type(told[name]) for name in told)


def test_a_profile_goes_to_its_folder_with_the_points_that_the_manual_wants() -> None:
    told = parameters(profiling_folder="there")
    choices = json.loads(told["profiling_options"])
    assert told["profiling_mode"] is True and choices["output"] == os.path.join(HERE, "there")
    assert choices["training_trace"] == "on" and {"fp_point", "bp_point"} <= set(choices)


# --- files of types ---


MIXED = "allow_mix_precision"


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "file"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "line",
    [
        "OpType::MatMulV2:InputDtype:float16,float16,float32,OutputDtype:float32",
        "resnet/block1/Relu::InputDtype:float16,int8,OutputDtype:float16,int8",
        "OpType::MatMulV2:InputDtype:float16,,float16",
        "Gemm_1732::OutputDtype:float32",
    ],
)
def test_lines_of_customize_dtypes_are_accepted(tmp_path: Path, line: str) -> None:
    check_customize_dtypes(written(tmp_path, line + "\n"), MIXED)


@pytest.mark.parametrize(
    "line",
    [
        "MatMulV2:InputDtype:float16,OutputDtype:float32",
        "Opname::network/dense:InputDtype:float32,OutputDtype:float32",
        "OpType::MatMulV2:",
        "OpType:A:InputDtype:int8,OutputDtype:int8",
        "",
        "a" * 1024 + "::InputDtype:float16",
    ],
)
def test_a_wrong_line_of_customize_dtypes_is_told_by_number(tmp_path: Path, line: str) -> None:
    good = "OpType::A:InputDtype:int8,OutputDtype:int8\n"
    with pytest.raises(ZooError, match="line 2"):
        check_customize_dtypes(written(tmp_path, good + line + "\n"), MIXED)


def test_customize_dtypes_has_to_say_something(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="names no operation"):
        check_customize_dtypes(written(tmp_path, ""), MIXED)


def test_customize_dtypes_is_refused_where_it_would_have_no_effect(tmp_path: Path) -> None:
    path = written(tmp_path, "OpType::A:InputDtype:int8,OutputDtype:int8\n")
    with pytest.raises(UsageError, match="no effect with --precision_mode must_keep_origin_dtype"):
        check_customize_dtypes(path, "must_keep_origin_dtype")


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ZooError, match="--customize_dtypes nowhere can't be read"):
        check_customize_dtypes("nowhere", MIXED)


def test_a_mixlist_is_accepted_with_mixed_modes_only(tmp_path: Path) -> None:
    path = written(tmp_path, '{"black-list": {"to-add": ["MatMul"], "to-remove": ["Conv2D"]}}')
    check_modify_mixlist(path, "allow_mix_precision")
    with pytest.raises(UsageError, match="mixed --precision_mode"):
        check_modify_mixlist(path, "allow_fp32_to_fp16")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"black": {"to-add": []}}',
        '{"black-list": ["MatMul"]}',
        '{"black-list": {"add": ["MatMul"]}}',
        '{"white-list": {"to-add": [1]}}',
        "not json",
    ],
)
def test_a_mixlist_of_another_form_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(ZooError, match="--modify_mixlist"):
        check_modify_mixlist(written(tmp_path, text), "allow_mix_precision")


# --- compiled graphs ---


@pytest.fixture
def log(tmp_path: Path):
    with open(str(tmp_path / "log"), "wb", buffering=0) as stream:
        yield stream


def test_lines_are_counted_from_where_the_log_was(log: Any) -> None:
    log.write(SAID)
    lines = CompiledLines(log.fileno())
    log.write(b"other\n" + SAID + SAID)
    assert (lines.count(), lines.count()) == (2, 2)


def test_a_line_that_is_written_in_two_parts_counts_once(log: Any) -> None:
    lines = CompiledLines(log.fileno())
    log.write(SAID + SAID[:40])
    assert lines.count() == 1
    log.write(SAID[40:])
    assert lines.count() == 2


def test_a_pipe_can_not_be_counted() -> None:
    reading, writing = os.pipe()
    assert CompiledLines(writing).count() is None
    os.close(reading)
    os.close(writing)


def test_a_watch_tells_first_step_later_steps_and_the_rest_apart(log: Any) -> None:
    watch = CompilationWatch(CompiledLines(log.fileno()))
    log.write(SAID)  # the initialisers
    watch.before_step()
    log.write(SAID + SAID)
    assert watch.after_step() == 0
    log.write(SAID)  # an evaluation
    watch.before_step()
    assert watch.after_step() == 0
    watch.before_step()
    log.write(SAID)
    assert watch.after_step() == 1
    assert watch.elsewhere == 2 and watch.proof() == (
        "5 graph(s) compiled for the NPU: 2 in the first training step, 1 in later steps"
    )


def test_a_training_step_that_compiled_nothing_is_no_proof(log: Any) -> None:
    watch = CompilationWatch(CompiledLines(log.fileno()))
    assert "no line says" in str(watch.proof())
    log.write(SAID)
    watch.before_step()
    watch.after_step()
    assert "may not have run there" in str(watch.proof())


def test_without_a_log_nothing_is_claimed() -> None:
    watch = CompilationWatch(None)
    watch.before_step()
    assert (watch.after_step(), watch.proof()) == (0, None)
