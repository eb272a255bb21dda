"""The double of npu_bridge has the real package's names, and keeps its documented rules.

That the product keeps them too is seen by test_doubles_npu_bridge_adapter and the mutations.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any, Dict

import pytest

from common.training.tensorflow.runtime import tf
from tests.ascend_doubles.fresh_npu_bridge import Double, imported
from tests.ascend_doubles.npu_bridge_stand_ins import config_of
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


def test_names_and_arguments_are_those_of_the_real_package(double: Double) -> None:
    for name, signature in SIGNATURES.items():
        found: Any = double.init
        for part in name.split("."):
            found = getattr(found, part)
        assert str(inspect.signature(found)) == signature, name


def test_the_import_needs_cann(double: Double, monkeypatch) -> None:
    monkeypatch.delenv("ASCEND_HOME_PATH")
    monkeypatch.delenv("ASCEND_OPP_PATH")
    monkeypatch.delitem(sys.modules, "npu_bridge")
    with pytest.raises(ImportError, match="libge_runner"):
        import npu_bridge  # noqa: F401


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
    assert double.process.unknown == ["precision_mod"]


@pytest.mark.parametrize(
    "parameters, aborts",
    [
        ({"precision_mode": "O2"}, True),
        ({"enable_dump": True, "dump_path": "/no/such/folder"}, True),
        ({"precision_mode": "allow_mix_precision_bf16"}, False),  # on a 910A
        ({"precision_mode": "force_fp16", "modify_mixlist": __file__}, False),
        ({"customize_dtypes": "missing.txt"}, False),
    ],
)
def test_an_illegal_value_ends_the_process_and_a_contradiction_is_an_error(
    double: Double, parameters, aborts
) -> None:
    with pytest.raises(double.abort if aborts else tf.errors.InternalError):
        options_of(double, **parameters)


@pytest.mark.parametrize(
    "soc, mode", [("Ascend910A", "allow_fp32_to_fp16"), ("Ascend910B3", "must_keep_origin_dtype")]
)
def test_nothing_set_is_float16_on_a_910a_and_hf32_later(monkeypatch, soc, mode) -> None:
    with imported(monkeypatch, soc=soc) as double:
        assert options_of(double)["precision_mode"] == mode
        with tf.Session() as session:
            session.run(tf.zeros([2]) + 1.0)
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
        tf.Session().run(tf.zeros([2]) + 1.0)


def test_collectives_know_no_mean_and_broadcast_lists(double: Double) -> None:
    total = double.init.hccl_ops.allreduce(tf.ones([2]), "sum")
    with pytest.raises(tf.errors.InternalError, match="HCCL is not initialised"):
        tf.Session().run(total)
    with pytest.raises(ValueError, match="mean"):
        double.init.hccl_ops.allreduce(tf.ones([2]), "mean")
    with pytest.raises(TypeError):
        double.init.hccl_ops.broadcast(tf.ones([2]), 0)
