"""The double of npu_bridge: import, sessions, what holds for a process, compiled graphs, loops."""

from __future__ import annotations

import atexit
import json
import os
import sys
from typing import Any

import pytest

from common.training.tensorflow.runtime import tf
from tests.ascend_doubles.fresh_npu_bridge import Double, imported
from tests.ascend_doubles.npu_bridge_stand_ins import config_of

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("default_graph")]
COMPILED = "The model has been compiled on the Ascend AI processor, current graph id is: {}"


def run_something(config: Any = None, kind: Any = None) -> None:
    with (kind or tf.Session)(config=config) as session:
        session.run(tf.zeros([2]) + 1.0)


# --- the import ---


def test_the_import_needs_cann(monkeypatch) -> None:
    with imported(monkeypatch):
        monkeypatch.delenv("ASCEND_HOME_PATH")
        monkeypatch.delenv("ASCEND_OPP_PATH")
        monkeypatch.delitem(sys.modules, "npu_bridge")
        with pytest.raises(ImportError, match="libge_runner"):
            import npu_bridge  # noqa: F401


def test_a_star_import_shadows_names_of_tensorflow(double: Double) -> None:
    names: dict = {}
    exec("from npu_bridge.npu_init import *", names)
    assert {
        "tf",
        "os",
        "session",
        "backend",
        "util",
        "RewriterConfig",
        "config_pb2",
        "get_rank_id",
        "NPUDistributedOptimizer",
        "hccl_ops",
    } <= set(names)
    assert names["os"] is os and "broadcast_global_variables" not in names


@pytest.mark.parametrize("adapter, there", [("1.3.0", False), ("1.5.1", True)])
def test_the_wrapper_appears_with_1_5(monkeypatch, adapter, there) -> None:
    with imported(monkeypatch, adapter) as double:
        for name in (
            "npu_distributed_optimizer_wrapper",
            "npu_allreduce",
            "NPUBroadcastGlobalVariablesCallback",
        ):
            assert hasattr(double.init, name) is there


@pytest.mark.parametrize("kind", [tf.Session, tf.InteractiveSession])
def test_from_1_9_on_every_session_of_the_process_is_on_the_npu(double: Double, kind) -> None:
    session = kind()
    session.run(tf.zeros([2]) + 1.0)
    session.close()
    assert double.process.sessions == [
        {"on_npu": True, "open": False, "added_by_user": False, "rewrites_left_on": [], "state": {}}
    ]
    assert len(double.process.graphs) == 1


def test_up_to_1_8_a_session_without_the_optimizer_is_on_the_host(monkeypatch) -> None:
    with imported(monkeypatch, "1.8.0") as double:
        run_something()
        run_something(config_of())
        assert [report["on_npu"] for report in double.process.sessions] == [False, True]


def test_the_import_changes_the_configuration_it_is_given(double: Double) -> None:
    config = tf.ConfigProto(log_device_placement=True)
    tf.Session(config=config).close()
    rewriter = config.graph_options.rewrite_options
    assert [one.name for one in rewriter.custom_optimizers] == ["NpuOptimizer"]
    assert rewriter.remapping == rewriter.memory_optimization == rewriter.OFF
    assert config.allow_soft_placement and not config.log_device_placement
    assert config.graph_options.optimizer_options.global_jit_level == tf.OptimizerOptions.OFF


def test_who_adds_the_optimizer_has_to_turn_memory_optimization_off(double: Double) -> None:
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.custom_optimizers.add().name = "NpuOptimizer"
    tf.Session(config=double.init.npu_config_proto(config)).close()
    tf.Session(config=double.init.npu_config_proto()).close()
    assert [report["rewrites_left_on"] for report in double.process.sessions] == [
        ["memory_optimization"],
        [],
    ]


def test_up_to_1_8_both_rewrites_are_the_users_to_turn_off(monkeypatch) -> None:
    with imported(monkeypatch, "1.8.0") as double:
        config = tf.ConfigProto()
        config.graph_options.rewrite_options.custom_optimizers.add().name = "NpuOptimizer"
        tf.Session(config=config).close()
        assert double.process.sessions[0]["rewrites_left_on"] == [
            "remapping",
            "memory_optimization",
        ]


def test_hooks_that_are_no_list_are_thrown_away(double: Double, monkeypatch) -> None:
    hook = double.init.NpuEmptyHook()
    assert hook in double.init.npu_hooks_append([hook])
    assert hook not in double.init.npu_hooks_append((hook,))
    monkeypatch.setenv("RANK_ID", "8p")
    with pytest.raises(ValueError):
        double.init.npu_hooks_append([])


# --- the process ---


def test_the_first_npu_sessions_options_hold_for_the_process(double: Double) -> None:
    run_something(config_of(use_off_line=False, precision_mode="force_fp16"))
    run_something(config_of(precision_mode="must_keep_origin_dtype"))
    run_something(config_of(precision_mode="force_fp32", iterations_per_loop=1))
    assert double.process.options["precision_mode"] == "must_keep_origin_dtype"
    assert double.process.ignored == [{"precision_mode": "force_fp32"}]


def test_init_resource_fixes_the_options(double: Double) -> None:
    double.init.init_resource(config_of(precision_mode="force_fp16"))
    run_something(config_of(precision_mode="force_fp32"))
    assert double.process.options["precision_mode"] == "force_fp16"


def test_resource_init_without_a_session_fixes_the_options(double: Double) -> None:
    double.init.npu_plugin.npu_resource_init(precision_mode="force_fp32")
    run_something(config_of(precision_mode="force_fp16"))
    assert double.process.options["precision_mode"] == "force_fp32"


def test_the_device_is_the_sessions_then_ascend_device_id_then_device_id(double: Double) -> None:
    find = double.module("contract.environment").device_id
    both = {"ASCEND_DEVICE_ID": "2", "DEVICE_ID": "5"}
    assert [
        find(1, both),
        find(None, both),
        find(None, {"DEVICE_ID": "5"}),
        find(None, dict(both, ASCEND_DEVICE_ID="")),
        find(None, {}),
    ] == [1, 2, 5, 5, 0]
    assert find(None, {"DEVICE_ID": "5", "ASCEND_RT_VISIBLE_DEVICES": "4,5"}) == 1
    with pytest.raises(double.failures.PluginAbort):
        find(None, {"ASCEND_DEVICE_ID": "card0"})


def test_the_runtime_is_closed_at_exit(monkeypatch, tmp_path) -> None:
    at_exit: list = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    with imported(monkeypatch) as double:
        monkeypatch.setenv("ASCEND_DOUBLE_REPORT", str(tmp_path))
        run_something()
        for function in at_exit:
            function()
        assert double.process.closed
    (report,) = tmp_path.glob("process_*.json")
    assert len(json.loads(report.read_text())["graphs"]) == 1


def test_a_closed_runtime_takes_no_graphs(double: Double) -> None:
    double.init.npu_plugin.npu_resource_shutdown()
    with pytest.raises(double.failures.PluginAbort, match="closed"):
        run_something()


# --- compiled graphs ---


@pytest.fixture
def feedable(double: Double) -> Any:
    value = tf.placeholder(tf.float32, [2], "value")
    return value, value + 1.0, value * 2.0


def test_one_line_is_written_per_compiled_graph(feedable, capfd) -> None:
    value, plus, twice = feedable
    with tf.Session() as session:
        for fetches in (plus, plus, [plus, twice], plus):
            session.run(fetches, {value: [1.0, 2.0]})
    text = capfd.readouterr().err
    assert [COMPILED.format(number) in text for number in (1, 2, 3)] == [True, True, False]


def test_another_session_and_another_shape_compile_again(double: Double) -> None:
    value = tf.placeholder(tf.float32, None)
    plus = value + 1.0
    for sizes in ((1, 2, 2), (2,)):
        with tf.Session(config=config_of(mix_compile_mode=True)) as session:
            for size in sizes:
                session.run(plus, {value: [0.0] * size})
    assert len(double.process.graphs) == 3


@pytest.mark.parametrize("level, shown", [(None, True), ("0", True), ("1", False), ("3", False)])
def test_the_line_is_information_and_hidden_above_level_0(
    double: Double, monkeypatch, capfd, level, shown
) -> None:
    if level is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    run_something()
    assert (COMPILED.format(1) in capfd.readouterr().err) is shown


@pytest.mark.parametrize("adapter, shown", [("1.5.1", False), ("1.7.0", True)])
def test_the_line_is_there_from_1_7_on(monkeypatch, capfd, adapter, shown) -> None:
    with imported(monkeypatch, adapter):
        run_something(config_of())
    assert (COMPILED.format(1) in capfd.readouterr().err) is shown


def test_data_pipelines_and_constants_alone_compile_nothing(double: Double) -> None:
    iterator = tf.data.make_initializable_iterator(tf.data.Dataset.range(3))
    with tf.Session() as session:
        session.run(iterator.initializer)
        session.run(iterator.get_next())
    assert double.process.graphs == []


# --- what a graph may hold ---


def _python(value: Any) -> Any:
    return tf.reshape(tf.py_func(lambda array: array, [value], tf.float32), [4])


def _decoded(value: Any) -> Any:
    with tf.control_dependencies([value]):
        return tf.reduce_sum(tf.reshape(tf.decode_raw(tf.constant(b"abcd"), tf.uint8), [4]))


def _in_a_function(value: Any) -> Any:
    tf.enable_control_flow_v2()
    try:
        return tf.cond(value[0] > 5.0, lambda: _python(value), lambda: value)
    finally:
        tf.disable_control_flow_v2()


FORBIDDEN = {
    "PyFunc": _python,
    "ScalarSummary": lambda value: tf.summary.scalar("s", value[0]),
    "Decode": _decoded,
    "AsString": tf.as_string,
    "Where": lambda value: tf.boolean_mask(value, value > 0.0),
    "Unique": lambda value: tf.unique(value)[0],
    "PyFunc in a function": _in_a_function,
}


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
@pytest.mark.parametrize("mixed", [False, True])
def test_what_the_npu_lacks_needs_mix_compile_mode(double: Double, name, mixed) -> None:
    fetched = FORBIDDEN[name](tf.ones([4]) * 2.0)
    with tf.Session(config=config_of(mix_compile_mode=mixed)) as session:
        if mixed:
            session.run(fetched)
        else:
            # An operation's type and name; shapes are told with "of".
            with pytest.raises(
                tf.errors.InternalError,
                match=name.split()[0] + ("[A-Za-z]* " if name == "Decode" else " "),
            ):
                session.run(fetched)


def _batches(drop_remainder: bool) -> Any:
    data = tf.data.Dataset.from_tensor_slices(tf.ones([6, 3])).map(
        lambda row: tf.py_func(lambda array: array, [row], tf.float32)
    )
    data = data.map(lambda row: tf.ensure_shape(row, [3])).batch(2, drop_remainder=drop_remainder)
    return tf.data.make_initializable_iterator(data)


def test_the_data_pipeline_before_a_batch_is_the_hosts(double: Double) -> None:
    iterator = _batches(drop_remainder=True)
    total = tf.reduce_sum(iterator.get_next())
    with tf.Session() as session:
        session.run(iterator.initializer)
        assert session.run(total) == 6.0


def test_a_batch_of_unknown_size_is_no_static_shape(double: Double) -> None:
    iterator = _batches(drop_remainder=False)
    total = tf.reduce_sum(iterator.get_next())
    with tf.Session() as session:
        session.run(iterator.initializer)
        with pytest.raises(
            tf.errors.InternalError,
            match=r"shape \(\?, 3\) of IteratorGetNext|"
            r"shape \(None, 3\) of IteratorGetNext",
        ):
            session.run(total)


def test_what_a_fetch_does_not_need_is_not_compiled(double: Double) -> None:
    value = tf.ones([4]) * 2.0
    _python(value)
    with tf.Session() as session:
        assert session.run(value)[0] == 2.0


def test_checkpoints_are_written_and_read_by_the_host(double: Double, tmp_path) -> None:
    tf.get_variable("w", [2], initializer=tf.ones_initializer(), use_resource=True)
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        saver.restore(session, saver.save(session, str(tmp_path / "model")))


# --- iterations_per_loop ---


def _counting(one_shot: bool = False) -> Any:
    data = tf.data.Dataset.range(100)
    iterator = (
        tf.data.make_one_shot_iterator if one_shot else tf.data.make_initializable_iterator
    )(data)
    counter = tf.get_variable("counter", [], tf.int64, tf.zeros_initializer(), use_resource=True)
    number = iterator.get_next()
    train = tf.group(counter.assign_add(1, read_value=False))
    with tf.control_dependencies([train]):
        return iterator, train, number + 0, counter


def _loop(double: Double, key: int, given: int, one_shot: bool = False, **parameters: Any) -> Any:
    iterator, train, number, counter = _counting(one_shot)
    parameters.setdefault("enable_data_pre_proc", True)
    with tf.Session(config=config_of(iterations_per_loop=key, **parameters)) as session:
        operation = double.init.util.set_iteration_per_loop(session, train, given)
        session.run(tf.global_variables_initializer())
        if not one_shot:
            session.run(iterator.initializer)
        assert operation.name == "IterationOp"
        last = session.run([operation, number])[1]
        return int(last), int(session.run(counter))


def test_one_run_is_n_steps_and_gives_the_last_ones_values(double: Double) -> None:
    assert _loop(double, 5, 5) == (4, 5)


def test_the_number_must_be_the_keys(double: Double) -> None:
    with pytest.raises(tf.errors.InternalError, match="set_iteration_per_loop was given"):
        _loop(double, 5, 4)


def test_sunk_steps_need_enable_data_pre_proc(double: Double) -> None:
    with pytest.raises(tf.errors.InternalError, match="needs enable_data_pre_proc"):
        _loop(double, 5, 5, enable_data_pre_proc=False)


def test_a_one_shot_iterator_is_fatal(double: Double) -> None:
    with pytest.raises(double.failures.PluginAbort, match="OneShotIterator"):
        _loop(double, 5, 5, one_shot=True)
    with tf.Graph().as_default():
        assert _loop(double, 1, 1, one_shot=True) == (0, 1)


def test_without_set_iteration_per_loop_a_run_is_one_step(double: Double) -> None:
    iterator, train, number, counter = _counting()
    with tf.Session(config=config_of(iterations_per_loop=5, enable_data_pre_proc=True)) as session:
        session.run([tf.global_variables_initializer(), iterator.initializer])
        session.run([train, number])
        assert session.run(counter) == 1
