"""The double of npu_bridge keeps the documented rules of Ascend's TensorFlow adapter."""

from __future__ import annotations

import inspect
import json
import sys
import threading
from typing import Any, Dict, List

import numpy
import pytest

from common.training.tensorflow.runtime import tf
from tests.ascend_doubles.fresh_npu_bridge import Double, imported
from tests.ascend_doubles.npu_bridge_stand_ins import Echo, config_of
from tests.rank_tables import one_server, text_of

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("default_graph")]

# The real package's arguments and their defaults, of adapter 1.15 and 9.0.0.
SIGNATURES = {
    "npu_config_proto": "(config_proto=None)",
    "init_resource": "(config=None)",
    "shutdown_resource": "(sess, npu_shutdown)",
    "close_session": "(sess)",
    "get_npu_rank_id": "()",
    "get_npu_rank_size": "()",
    "util.get_ranksize": "()",
    "util.set_iteration_per_loop": "(sess, train_op, iterations_per_loop=1)",
    "hccl_ops.allreduce": ("(tensor, reduction, fusion=1, fusion_id=-1, group='hccl_world_group')"),
    "hccl_ops.broadcast": ("(tensor, root_rank, fusion=2, fusion_id=0, group='hccl_world_group')"),
    "NPUDistributedOptimizer": "(optimizer, is_weight_update_sharding=False, name=None)",
    "NPULossScaleOptimizer": "(opt, loss_scale_manager, is_distributed=False)",
    "FixedLossScaleManager": "(loss_scale, enable_overflow_check=True)",
    "ExponentialUpdateLossScaleManager": (
        "(init_loss_scale, incr_every_n_steps, decr_every_n_nan_or_inf=2, incr_ratio=2, "
        "decr_ratio=0.8)"
    ),
}


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_names_and_arguments_are_those_of_the_real_package(double: Double, name: str) -> None:
    found: Any = double.init
    for part in name.split("."):
        found = getattr(found, part)
    assert str(inspect.signature(found)) == SIGNATURES[name]


# --- import and sessions ---


def run_something(config: Any = None) -> None:
    with tf.Session(config=config) as session:
        session.run(tf.zeros([2]) + 1.0)


def test_the_import_needs_cann(double: Double, monkeypatch) -> None:
    monkeypatch.delenv("ASCEND_HOME_PATH")
    monkeypatch.delenv("ASCEND_OPP_PATH")
    monkeypatch.delitem(sys.modules, "npu_bridge")
    with pytest.raises(ImportError, match="libge_runner"):
        import npu_bridge  # noqa: F401


def test_every_session_is_on_the_npu_and_the_user_turns_his_own_rewrites_off(
    double: Double,
) -> None:
    run_something()
    with_entry = tf.ConfigProto()
    with_entry.graph_options.rewrite_options.custom_optimizers.add().name = "NpuOptimizer"
    tf.Session(config=with_entry).close()
    first, second = double.process.sessions
    assert first["on_npu"] and not first["added_by_user"] and first["rewrites_left_on"] == []
    assert second["rewrites_left_on"] == ["memory_optimization"]
    assert len(double.process.graphs) == 1


def test_the_first_npu_sessions_options_hold_for_the_process(double: Double) -> None:
    run_something(config_of(use_off_line=False, precision_mode="force_fp16"))
    run_something(config_of(precision_mode="must_keep_origin_dtype"))
    run_something(config_of(precision_mode="force_fp32", iterations_per_loop=1))
    assert double.process.options["precision_mode"] == "must_keep_origin_dtype"
    assert double.process.ignored == [{"precision_mode": "force_fp32"}]


def test_one_line_of_information_is_written_per_compiled_graph(
    double: Double, monkeypatch, capfd
) -> None:
    value = tf.placeholder(tf.float32, None)
    plus, twice = value + 1.0, value * 2.0
    with tf.Session(config=config_of(mix_compile_mode=True)) as session:
        for fetches, size in ((plus, 2), (plus, 2), ([plus, twice], 2), (plus, 3)):
            session.run(fetches, {value: [1.0] * size})
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
        session.run(twice, {value: [1.0]})
    text = capfd.readouterr().err
    assert text.count("The model has been compiled on the Ascend AI processor") == 3
    assert len(double.process.graphs) == 4


# --- options ---


def options_of(double: Double, **parameters: Any) -> Dict[str, Any]:
    reader = double.module("contract.options")
    return reader.read_options(reader.find_optimizer(config_of(**parameters)))


def test_a_wrong_field_is_read_as_zero_and_an_unknown_key_passed_over_in_silence(
    double: Double,
) -> None:
    found = options_of(double, mix_compile_mode=1, session_device_id="3", precision_mod="x")
    assert (found["mix_compile_mode"], found["session_device_id"]) == (False, 0)
    assert sorted(double.process.misread) == ["mix_compile_mode", "session_device_id"]
    assert double.process.unknown == ["precision_mod"] and double.process.messages == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"iterations_per_loop": 0},
        {"session_device_id": -1},
        {"dump_mode": "some"},
        {"dump_debug_mode": "some"},
        {"enable_dump": True, "dump_path": "/no/such/folder"},
        {"dump_step": "0,5"},
        {"dump_step": "5-5"},
        {"dump_step": "|".join(["1"] * 101)},
        {"aoe_mode": "mdat"},
        {"precision_mode": "O2"},
        {"profiling_mode": True, "profiling_options": "output"},
        {"profiling_mode": True, "profiling_options": '{"output": "/", "training_trace": "on"}'},
    ],
)
def test_an_illegal_value_ends_the_process_and_no_exception_handler_sees_it(
    double: Double, parameters
) -> None:
    with pytest.raises(double.abort) as told:
        options_of(double, **parameters)
    assert not isinstance(told.value, Exception)


@pytest.mark.parametrize(
    "parameters",
    [
        {"precision_mode": "force_fp16", "precision_mode_v2": "fp16"},
        {"precision_mode": "allow_mix_precision_bf16"},  # on a 910A
        {"precision_mode": "force_fp16", "modify_mixlist": "list.json"},
        {"precision_mode": "allow_mix_precision", "modify_mixlist": "missing.json"},
        {"customize_dtypes": "missing.txt"},
    ],
)
def test_contradictions_and_missing_files_are_errors(
    double: Double, monkeypatch, tmp_path, parameters
) -> None:
    (tmp_path / "list.json").write_text('{"black-list": {"to-add": ["Softmax"]}}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tf.errors.InternalError):
        options_of(double, **parameters)


@pytest.mark.parametrize(
    "soc, mode", [("Ascend910A", "allow_fp32_to_fp16"), ("Ascend910B3", "must_keep_origin_dtype")]
)
def test_nothing_set_is_float16_on_a_910a_and_hf32_later(monkeypatch, soc, mode) -> None:
    with imported(monkeypatch, soc=soc) as double:
        assert options_of(double)["precision_mode"] == mode
        run_something()
        assert double.process.hf32


# --- graphs ---


FORBIDDEN = {
    "PyFunc": lambda value: tf.py_func(lambda array: array, [value], tf.float32),
    "ScalarSummary": lambda value: tf.summary.scalar("s", value[0]),
    "Where": lambda value: tf.boolean_mask(value, value > 0.0),
    "shape": lambda value: tf.placeholder_with_default(value, [None]) * 2.0,
}


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_what_the_npu_lacks_needs_mix_compile_mode(double: Double, name: str) -> None:
    fetched = FORBIDDEN[name](tf.ones([4]) * 2.0)
    with tf.Session(config=config_of(mix_compile_mode=True)) as session:
        session.run(fetched)
    with pytest.raises(tf.errors.InternalError, match=name + " "):
        tf.Session(config=config_of()).run(fetched)


def test_data_pipelines_and_checkpoints_are_the_hosts(double: Double, tmp_path) -> None:
    data = tf.data.Dataset.from_tensor_slices(tf.ones([6, 3])).map(
        lambda row: tf.ensure_shape(tf.py_func(lambda array: array, [row], tf.float32), [3])
    )
    iterator = tf.data.make_initializable_iterator(data.batch(2, drop_remainder=True))
    total = tf.reduce_sum(iterator.get_next())
    tf.get_variable("w", [2], initializer=tf.ones_initializer(), use_resource=True)
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run([iterator.initializer, tf.global_variables_initializer()])
        assert session.run(total) == 6.0
        saver.restore(session, saver.save(session, str(tmp_path / "model")))


def _loop(double: Double, key: int, given: int, one_shot: bool = False, data: bool = True) -> None:
    make = tf.data.make_one_shot_iterator if one_shot else tf.data.make_initializable_iterator
    iterator = make(tf.data.Dataset.range(100))
    train = tf.group(iterator.get_next())
    config = config_of(iterations_per_loop=key, enable_data_pre_proc=data)
    with tf.Session(config=config) as session:
        operation = double.init.util.set_iteration_per_loop(session, train, given)
        if not one_shot:
            session.run(iterator.initializer)
        session.run(operation)


@pytest.mark.parametrize(
    "arguments", [(5, 4), (5, 5, False, False), (5, 5, True)], ids=["number", "data", "one shot"]
)
def test_loops_need_the_keys_number_the_data_and_no_one_shot_iterator(
    double: Double, arguments
) -> None:
    with pytest.raises((tf.errors.InternalError, double.abort)):
        _loop(double, *arguments)


# --- ranks ---

CHIEF = {
    "CM_CHIEF_IP": "10.0.0.1",
    "CM_CHIEF_PORT": "29688",
    "CM_CHIEF_DEVICE": "0",
    "CM_WORKER_SIZE": "2",
}


@pytest.mark.parametrize(
    "environment, way",
    [
        ({"RANK_TABLE_FILE": "t", "RANK_SIZE": "1", "RANK_ID": "0"}, "table"),
        ({"RANK_TABLE_FILE": "t", "RANK_ID": "0"}, "table"),  # left over: one card is collective
        ({"RANK_TABLE_FILE": "t", "CM_WORKER_SIZE": "2", "RANK_ID": "0"}, "none"),
        (CHIEF, "cm"),
        (dict(CHIEF, RANK_SIZE=""), "none"),
        (dict(CHIEF, RANK_TABLE_FILE="t"), "none"),
        (dict(CHIEF, CM_CHIEF_DEVICE=""), "none"),
        ({"RANK_SIZE": "8", "RANK_ID": "0"}, "none"),
    ],
)
def test_the_way_to_the_ranks_follows_from_the_environment(
    double: Double, environment, way
) -> None:
    assert double.module("contract.ranks").read_cluster(environment).way == way


def test_the_device_is_the_sessions_then_ascend_device_id_then_device_id(double: Double) -> None:
    find = double.module("contract.ranks").device_id
    both = {"ASCEND_DEVICE_ID": "2", "DEVICE_ID": "5", "ASCEND_RT_VISIBLE_DEVICES": "4,5"}
    assert (find(1, both), find(None, both)) == (1, 2)
    assert find(None, dict(both, ASCEND_DEVICE_ID="")) == 1
    with pytest.raises(double.abort):
        find(None, {"ASCEND_DEVICE_ID": "card0"})


@pytest.mark.parametrize(
    "numbers, changes",
    [([0, 1], {"status": "initializing"}), ([4], {})],  # this process is on device 0
)
def test_a_rank_table_that_breaks_a_rule_is_refused(
    double: Double, monkeypatch, tmp_path, numbers, changes
) -> None:
    table = tmp_path / "table.json"
    table.write_text(json.dumps(dict(json.loads(text_of(one_server(numbers))), **changes)))
    monkeypatch.setenv("RANK_TABLE_FILE", str(table))
    monkeypatch.setenv("RANK_ID", "0")
    with pytest.raises(tf.errors.InternalError, match="HCCL: .*rank table"):
        run_something()


def test_the_rank_is_known_after_init_resource_and_of_one_source(
    double: Double, monkeypatch
) -> None:
    with pytest.raises(NameError):
        double.init.get_npu_rank_id()
    double.init.init_resource(config_of(precision_mode="force_fp16"))
    assert (double.init.get_npu_rank_id(), double.init.get_npu_rank_size()) == (0, 1)
    assert double.process.options["precision_mode"] == "force_fp16"
    monkeypatch.setenv("CM_WORKER_SIZE", "4")
    assert double.init.util.get_ranksize() == "4"
    monkeypatch.setenv("RANK_SIZE", "8")
    with pytest.raises(ValueError):
        double.init.util.get_ranksize()


def meet(double: Double, said: List[int], work: Any) -> List[Any]:
    """Runs work(member) in a thread per rank, the first one serving; what each gave."""
    found: List[Any] = [None] * len(said)

    def run(number: int) -> None:
        try:
            member = double.module("contract.ranks").Member(
                f"test {id(found)}", said[number], len(said), number == 0
            )
            found[number] = work(member)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(said))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_ranks_reduce_and_broadcast_in_the_order_of_their_devices(double: Double) -> None:
    def work(member: Any) -> Any:
        own = numpy.full([2], member.rank + 1.0, numpy.float32)
        total = member.exchange("x", ("allreduce", "sum"), own)
        return member.rank, total.tolist(), member.exchange("y", ("broadcast", 1), own).tolist()

    assert meet(double, [5, 3, 4], work) == [(rank, [6.0, 6.0], [2.0, 2.0]) for rank in (2, 0, 1)]


def test_ranks_that_are_the_same_or_ask_for_different_things_are_told(double: Double) -> None:
    twice = meet(double, [0, 0], lambda member: member.rank)
    assert all("two ranks are the same" in str(error) for error in twice)

    def work(member: Any) -> Any:
        return member.exchange("x", ("allreduce", "sum"), numpy.zeros([member.rank + 1]))

    assert all("ranks ask for" in str(error) for error in meet(double, [0, 1], work))


def test_collectives_need_hccl_know_no_mean_and_broadcast_lists(double: Double) -> None:
    total = double.init.hccl_ops.allreduce(tf.ones([2]), "sum")
    with pytest.raises(tf.errors.InternalError, match="HCCL is not initialised"):
        tf.Session().run(total)
    with pytest.raises(ValueError, match="mean"):
        double.init.hccl_ops.allreduce(tf.ones([2]), "mean")
    with pytest.raises(TypeError):
        double.init.hccl_ops.broadcast(tf.ones([2]), 0)


# --- optimizers ---


def collectives() -> int:
    operations = tf.get_default_graph().get_operations()
    return sum(one.name.startswith("Hcom") and "PyFunc" in one.type for one in operations)


def number(value: float = 1.0) -> Any:
    return tf.get_variable("w", [], initializer=tf.constant_initializer(value), use_resource=True)


def test_gradients_are_averaged_where_the_environment_has_a_rank_size(
    double: Double, monkeypatch
) -> None:
    weight = number()
    optimizer = double.init.NPUDistributedOptimizer(tf.train.GradientDescentOptimizer(1.0))
    double.process.size = 8  # HCCL is not asked
    optimizer.compute_gradients(weight * 2.0, var_list=[weight])
    assert collectives() == 0
    monkeypatch.setenv("RANK_SIZE", "2")
    double.init.init_resource()
    double.process.collective = Echo(2)
    ((gradient, _),) = optimizer.compute_gradients(weight * 2.0, var_list=[weight])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(gradient) == 2.0  # the mean, not the sum


def scales(double: Double, manager: Any, gradients: List[float]) -> List[Any]:
    """Trains w by these gradients; after each step (scale, global_step, w)."""
    weight, given = number(0.0), tf.placeholder(tf.float32, [])
    counter = tf.train.get_or_create_global_step()
    train = double.init.NPULossScaleOptimizer(
        tf.train.GradientDescentOptimizer(1.0), manager
    ).minimize(weight * given, global_step=counter)
    told = []
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for gradient in gradients:
            session.run(train, {given: gradient})
            found = session.run([manager.get_loss_scale(), counter, weight])
            told.append(tuple(float(value) for value in found))
    return told


BAD = float("inf")


def test_a_step_that_overflows_advances_nothing_unless_nobody_looks(double: Double) -> None:
    told = scales(double, double.init.FixedLossScaleManager(8.0), [1.0, BAD, 1.0])
    assert told == [(8.0, 1, -1.0), (8.0, 1, -1.0), (8.0, 2, -2.0)]
    with pytest.raises(ValueError):
        double.init.FixedLossScaleManager(0.5)
    with tf.Graph().as_default():
        unchecked = double.init.FixedLossScaleManager(8.0, enable_overflow_check=False)
        assert scales(double, unchecked, [BAD])[0][1] == 1


@pytest.mark.parametrize(
    "start, changes, gradients, expected",
    [
        (4.0, {}, [1.0] * 5, [4.0, 8.0, 8.0, 16.0, 16.0]),
        (100.0, {}, [BAD] * 3, [100.0, 80.0, 80.0]),
        (4.0, {"decr_every_n_nan_or_inf": 5}, [1.0, BAD, 1.0, 1.0], [4.0, 4.0, 4.0, 8.0]),
        (3.0, {"decr_every_n_nan_or_inf": 1, "decr_ratio": 0.5}, [BAD] * 3, [1.5, 1.0, 1.0]),
    ],
    ids=["grows", "two bad steps", "a bad one begins anew", "not below one"],
)
def test_the_scale_adapts(double: Double, start, changes, gradients, expected) -> None:
    manager = double.init.ExponentialUpdateLossScaleManager(start, 2, **changes)
    found = [scale for scale, *_ in scales(double, manager, gradients)]
    assert found == pytest.approx(expected)


class Overflowing(Echo):
    """Stands for another rank whose gradients overflow while this one's do not."""

    def exchange(self, name: str, asked: Any, value: Any) -> Any:
        is_flag = name.startswith("HcomAllReduce_1")
        return numpy.asarray(1.0 if is_flag else numpy.inf, numpy.float32)


@pytest.mark.parametrize(
    "shared, soc, applied",
    [(False, "Ascend910A", 1), (True, "Ascend910A", 0), (False, "Ascend910B3", 0)],
)
def test_another_ranks_overflow_is_known_if_it_is_shared_or_shows_in_the_average(
    monkeypatch, shared, soc, applied
) -> None:
    with imported(monkeypatch, soc=soc, RANK_SIZE="2") as double:
        double.init.init_resource()
        double.process.collective = Overflowing(2)
        weight, counter = number(), tf.train.get_or_create_global_step()
        train = double.init.NPULossScaleOptimizer(
            double.init.NPUDistributedOptimizer(tf.train.GradientDescentOptimizer(1.0)),
            double.init.FixedLossScaleManager(8.0),
            is_distributed=shared,
        ).minimize(weight * 2.0, global_step=counter)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            session.run(train)
            assert session.run(counter) == applied
