"""The double of npu_bridge: what it reads of a parameter_map, and which values it takes."""

from __future__ import annotations

import json
import os
from typing import Any, Dict

import pytest

from common.training.tensorflow.runtime import tf
from tests.ascend_doubles.fresh_npu_bridge import Double, imported
from tests.ascend_doubles.npu_bridge_stand_ins import config_of

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("default_graph")]


def options_of(double: Double, **parameters: Any) -> Dict[str, Any]:
    reader = double.module("contract.parameter_map")
    return reader.read_options(reader.find_optimizer(config_of(**parameters)))


@pytest.mark.parametrize(
    "name, wrong, zero",
    [("mix_compile_mode", 1, False), ("session_device_id", "3", 0), ("customize_dtypes", 7, "")],
)
def test_a_value_in_another_types_field_is_read_as_zero_and_nobody_is_told(
    double: Double, name, wrong, zero
) -> None:
    assert options_of(double, **{name: wrong})[name] == zero
    assert double.process.misread == [name] and double.process.messages == []


def test_use_off_line_as_a_number_keeps_the_graph_on_the_host(double: Double) -> None:
    with tf.Session(config=config_of(use_off_line=1)) as session:
        session.run(tf.zeros([2]) + 1.0)
    assert double.process.graphs == [] and not double.process.sessions[0]["on_npu"]


def test_jit_compile_alone_tells_of_a_wrong_field(double: Double) -> None:
    with pytest.raises(tf.errors.InternalError, match="jit_compile is a string"):
        options_of(double, jit_compile=True)


def test_keys_that_it_does_not_know_are_passed_over_in_silence(double: Double) -> None:
    options_of(double, precision_mod="force_fp32")
    assert double.process.unknown == ["precision_mod"] and double.process.messages == []


@pytest.mark.parametrize("adapter, known", [("1.12.0", False), ("1.13.0", True)])
def test_precision_mode_v2_and_jit_compile_are_read_from_1_13_on(
    monkeypatch, adapter, known
) -> None:
    with imported(monkeypatch, adapter) as double:
        found = options_of(double, precision_mode_v2="origin", jit_compile="true")
        assert ("precision_mode_v2" in found, "jit_compile" in found) == (known, known)


@pytest.mark.parametrize("adapter, default", [("1.9.0", False), ("1.10.0", True)])
def test_hcom_parallel_is_on_by_itself_from_1_10_on(monkeypatch, adapter, default) -> None:
    with imported(monkeypatch, adapter) as double:
        assert options_of(double)["hcom_parallel"] is default


@pytest.mark.parametrize("adapter, warns", [("1.9.0", False), ("1.10.0", True)])
def test_enable_data_pre_proc_warns_from_1_10_on(monkeypatch, adapter, warns) -> None:
    with imported(monkeypatch, adapter) as double:
        assert options_of(double, enable_data_pre_proc=True)["enable_data_pre_proc"]
        assert bool(double.process.messages) is warns


@pytest.mark.parametrize(
    "parameters",
    [
        {"iterations_per_loop": 0},
        {"graph_run_mode": 2},
        {"session_device_id": -1},
        {"op_select_implmode": "high"},
        {"local_rank_id": 8},
        {"deterministic": 2},
        {"dump_mode": "some"},
        {"dump_debug_mode": "some"},
        {"enable_exception_dump": 3},
        {"aoe_mode": "3"},
        {"jit_compile": "yes"},
        {"variable_placement": "device"},
        {"buffer_optimize": "l1_optimize"},
        {"op_compiler_cache_mode": "on"},
        {"graph_memory_max_size": "1 GB"},
        {"graph_slice": "some"},
        {"enable_compress_weight": True, "compress_weight_conf": "file"},
        {"input_shape": "data:1,2"},
        {"precision_mode": "fp32"},
        {"precision_mode_v2": "force_fp16"},
        {"profiling_mode": True, "profiling_options": "output"},
        {"profiling_mode": True, "profiling_options": '{"task_trace": "yes"}'},
    ],
)
def test_illegal_values_end_the_process(double: Double, parameters) -> None:
    with pytest.raises(double.failures.PluginAbort):
        options_of(double, **parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"dynamic_graph_execute_mode": "static"},
        {"dynamic_graph_execute_mode": "lazy_recompile", "iterations_per_loop": 2},
        {"dynamic_graph_execute_mode": "lazy_recompile", "dynamic_inputs_shape_range": "1~2"},
        {
            "mix_compile_mode": True,
            "input_shape": "x:1",
            "dynamic_dims": "1;2",
            "dynamic_node_type": 0,
        },
        {"in_out_pair": "a:b"},
    ],
)
def test_contradictions_are_errors(double: Double, parameters) -> None:
    with pytest.raises(tf.errors.InternalError):
        options_of(double, **parameters)


def test_an_illegal_value_is_found_when_the_first_graph_runs_and_no_exception_handler_sees_it(
    double: Double,
) -> None:
    session = tf.Session(config=config_of(iterations_per_loop=0))
    with pytest.raises(double.failures.PluginAbort) as told:
        session.run(tf.zeros([2]) + 1.0)
    assert not isinstance(told.value, Exception)


def test_mix_compile_mode_takes_one_iteration_per_loop(double: Double) -> None:
    assert (
        options_of(double, mix_compile_mode=True, iterations_per_loop=5)["iterations_per_loop"] == 1
    )


def test_inference_enables_small_channels(double: Double) -> None:
    assert options_of(double, graph_run_mode=0)["enable_small_channel"] == 1


# --- precision ---


MODES = (
    "force_fp32",
    "cube_fp16in_fp32out",
    "must_keep_origin_dtype",
    "allow_fp32_to_fp16",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "force_fp16",
)


@pytest.mark.parametrize("mode", MODES)
def test_every_first_generation_mode_is_taken(double: Double, mode) -> None:
    assert options_of(double, precision_mode=mode)["precision_mode"] == mode


@pytest.mark.parametrize("mode", ["cube_fp16in_fp32out", "origin", "fp16", "mixed_float16"])
def test_every_second_generation_mode_is_taken_alone(double: Double, mode) -> None:
    assert options_of(double, precision_mode_v2=mode)["precision_mode"] is None
    with pytest.raises(tf.errors.InternalError, match="both"):
        options_of(double, precision_mode_v2=mode, precision_mode="force_fp16")


@pytest.mark.parametrize(
    "adapter, failure", [("1.11.0", "InternalError"), ("1.12.0", "PluginAbort")]
)
def test_another_mode_is_fatal_from_1_12_on_and_fails_later_before(
    monkeypatch, adapter, failure
) -> None:
    with imported(monkeypatch, adapter) as double:
        with pytest.raises(BaseException) as told:
            options_of(double, precision_mode="O2")
        assert type(told.value).__name__ == failure


@pytest.mark.parametrize(
    "parameters",
    [
        {"precision_mode": "allow_fp32_to_bf16"},
        {"precision_mode": "allow_mix_precision_bf16"},
        {"precision_mode_v2": "mixed_bfloat16"},
    ],
)
def test_bfloat16_is_an_error_on_a_910a_and_none_on_a_910b(monkeypatch, parameters) -> None:
    with imported(monkeypatch) as double, pytest.raises(tf.errors.InternalError, match="910A"):
        options_of(double, **parameters)
    with imported(monkeypatch, soc="Ascend910B3") as double:
        options_of(double, **parameters)


@pytest.mark.parametrize(
    "adapter, soc, run_mode, mode",
    [
        ("1.12.0", "Ascend910A", 1, "allow_fp32_to_fp16"),
        ("1.12.0", "Ascend910B3", 0, "force_fp16"),
        ("1.13.0", "Ascend910A", 0, "allow_fp32_to_fp16"),
        ("1.13.0", "Ascend910B3", 1, "must_keep_origin_dtype"),
    ],
)
def test_nothing_set_is_not_float32_on_a_910a(monkeypatch, adapter, soc, run_mode, mode) -> None:
    with imported(monkeypatch, adapter, soc) as double:
        assert options_of(double, graph_run_mode=run_mode)["precision_mode"] == mode


# --- files ---


MIXLIST = {"black-list": {"to-add": ["Softmax"]}, "white-list": {"to-remove": ["Softmax"]}}


@pytest.mark.parametrize(
    "adapter, mode, taken",
    [
        ("1.15.0", "allow_mix_precision", True),
        ("1.15.0", "allow_mix_precision_fp16", True),
        ("1.15.0", "force_fp16", False),
        ("1.15.0", "must_keep_origin_dtype", False),
        ("1.12.0", "allow_mix_precision", True),
        ("1.12.0", "allow_mix_precision_fp16", False),
    ],
)
def test_modify_mixlist_needs_a_mixed_mode(monkeypatch, tmp_path, adapter, mode, taken) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(MIXLIST))
    with imported(monkeypatch, adapter) as double:
        if taken:
            options_of(double, precision_mode=mode, modify_mixlist=str(path))
        else:
            with pytest.raises(tf.errors.InternalError, match="mixed precision modes only"):
                options_of(double, precision_mode=mode, modify_mixlist=str(path))


@pytest.mark.parametrize(
    "text",
    [
        "black-list",
        "[]",
        '{"black": {}}',
        '{"black-list": ["Softmax"]}',
        '{"black-list": {"add": []}}',
        '{"black-list": {"to-add": "Softmax"}}',
    ],
)
def test_a_mixlist_of_another_form_is_an_error(double: Double, tmp_path, text) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(tf.errors.InternalError, match="modify_mixlist"):
        options_of(double, precision_mode="allow_mix_precision", modify_mixlist=str(path))


TYPES = (
    "OpType::MatMulV2:InputDtype:float16,float16,float32,OutputDtype:float32\n"
    "a/b::InputDtype:float32,OutputDtype:float32\n"
)


def test_a_relative_path_is_looked_for_where_the_process_was_started(
    double: Double, tmp_path, monkeypatch
) -> None:
    (tmp_path / "types.txt").write_text(TYPES)
    with pytest.raises(tf.errors.InternalError, match="does not exist"):
        options_of(double, customize_dtypes="types.txt")
    monkeypatch.chdir(tmp_path)
    found = options_of(double, customize_dtypes="types.txt")["customize_dtypes"]
    assert os.path.samefile(found, str(tmp_path / "types.txt")) and os.path.isabs(found)


@pytest.mark.parametrize(
    "line",
    [
        "OpType:MatMulV2:InputDtype:float16,OutputDtype:float32",
        "MatMulV2 float16",
        "OpType::MatMulV2:InputDtype:half,OutputDtype:float32",
        "Opname::a/b:InputDtype:float32,OutputDtype:float32",
        "",
    ],
)
def test_a_line_of_another_form_in_customize_dtypes_is_an_error(
    double: Double, tmp_path, line
) -> None:
    path = tmp_path / "types.txt"
    path.write_text(TYPES + line + "\n")
    with pytest.raises(tf.errors.InternalError, match="line 3"):
        options_of(double, customize_dtypes=str(path))


@pytest.mark.parametrize("switch", ["enable_dump", "enable_dump_debug"])
def test_a_dump_needs_a_folder_that_is_there(double: Double, tmp_path, switch) -> None:
    options_of(double, **{switch: True, "dump_path": str(tmp_path)})
    with pytest.raises(double.failures.PluginAbort, match="dump_path"):
        options_of(double, **{switch: True, "dump_path": str(tmp_path / "dump")})


@pytest.mark.parametrize(
    "steps, legal",
    [
        ("0", True),
        ("0|5|10-20", True),
        ("0,5", False),
        ("5-", False),
        ("all", False),
        ("|".join(["1"] * 100), True),
        ("|".join(["1"] * 101), False),
    ],
)
def test_dump_step_is_a_list_of_at_most_a_hundred_steps_and_ranges(
    double: Double, steps, legal
) -> None:
    if legal:
        assert options_of(double, dump_step=steps)["dump_step"] == steps
    else:
        with pytest.raises(double.failures.PluginAbort, match="dump_step"):
            options_of(double, dump_step=steps)
