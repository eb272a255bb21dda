"""The adapter for TensorFlow, held to npu_bridge's rules by its double."""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy
import pytest

from common.ascend.flags import NpuFlags, npu_parameters
from common.core.errors import InfrastructureError, ZooError
from common.machine.precision import Capabilities, resolve, with_loss_scale
from common.machine.ranks import ALONE, LAUNCHED_RANK, Place
from common.training.tensorflow import ranks as tf_ranks
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.runtime import tf
from tests.ascend_doubles.fresh_npu_bridge import Double, imported

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("default_graph")]
TWO = Place(0, 2, 0)
LOOP_OF_3 = {"iterations_per_loop": 3, "enable_data_pre_proc": True}
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
    "hccl_ops.allreduce": "(tensor, reduction, fusion=1, fusion_id=-1, group='hccl_world_group')",
    "hccl_ops.broadcast": "(tensor, root_rank, fusion=2, fusion_id=0, group='hccl_world_group')",
    "NPUDistributedOptimizer": "(optimizer, is_weight_update_sharding=False, name=None)",
    "NPULossScaleOptimizer": "(opt, loss_scale_manager, is_distributed=False)",
    "FixedLossScaleManager": "(loss_scale, enable_overflow_check=True)",
    "ExponentialUpdateLossScaleManager": (
        "(init_loss_scale, incr_every_n_steps, decr_every_n_nan_or_inf=2, incr_ratio=2, "
        "decr_ratio=0.8)"
    ),
}


def test_the_doubles_names_and_arguments_are_those_of_the_real_package(double: Double) -> None:
    for name, signature in SIGNATURES.items():
        found: Any = double.init
        for part in name.split("."):
            found = getattr(found, part)
        assert str(inspect.signature(found)) == signature, name


def precision_of(mode: str, soc: str = "Ascend910A") -> Any:
    able = Capabilities("1.15.0", soc, bfloat16=soc != "Ascend910A")
    return resolve(mode, "tensorflow", "npu", able)


def opened(mode: str = "must_keep_origin_dtype", soc: str = "Ascend910A", **parameters: Any) -> Any:
    """A device of one rank, its precision, and a session that has run something."""
    precision = precision_of(mode, soc)
    device = tf_runtime.open_device("npu", ALONE, precision, parameters)
    session = tf_runtime.open_session(device, precision)
    session.run(tf.zeros([2]) + 1.0)
    return device, precision, session


class Echo:
    """Stands for other ranks that have what this one has."""

    def __init__(self, size: int) -> None:
        self.size, self.asked = size, []

    def exchange(self, name: str, asked: Any, value: Any) -> Any:
        self.asked.append(asked)
        return numpy.asarray(
            value * (self.size if asked == ("allreduce", "sum") else 1), value.dtype
        )


def of_two_ranks(double: Double, monkeypatch: Any, mode: str = "must_keep_origin_dtype") -> Any:
    """A device that is rank 0 of two, whose other rank has what it has."""
    monkeypatch.setenv("RANK_SIZE", "2")
    monkeypatch.setenv("RANK_ID", "0")
    precision = precision_of(mode)
    device = tf_runtime.open_device("npu", TWO, precision)
    double.process.collective = Echo(2)
    return device, precision


def started(device: Any, precision: Any) -> Any:
    """A session whose variables have their first values."""
    session = tf_runtime.open_session(device, precision)
    session.run(tf.global_variables_initializer())
    return session


# --- sessions ---


@pytest.mark.parametrize(
    "soc, mode, given",
    [
        ("Ascend910A", "must_keep_origin_dtype", "must_keep_origin_dtype"),
        ("Ascend910A", "cube_fp16in_fp32out", "force_fp32"),
        ("Ascend910A", "mixed_float16", "allow_mix_precision"),
        ("Ascend910B3", "allow_fp32_to_bf16", "allow_fp32_to_bf16"),
    ],
)
def test_the_mode_that_is_asked_for_is_in_force(monkeypatch, soc, mode, given) -> None:
    with imported(monkeypatch, soc=soc) as double:
        opened(mode, soc)
        assert double.process.options["precision_mode"] == given


def test_every_value_is_in_its_field_and_every_key_is_known(double: Double, tmp_path) -> None:
    (tmp_path / "types").write_text("OpType::Softmax:InputDtype:float32,OutputDtype:float32\n")
    flags = NpuFlags(
        customize_dtypes=str(tmp_path / "types"),
        iterations_per_loop=2,
        data_dump_flag=True,
        data_dump_step="0|2",
        autotune=True,
    )
    mode = "allow_mix_precision"
    opened(mode, **npu_parameters(flags, precision_of(mode), tmp_path, ALONE, {}, profile=True))
    assert double.process.misread == [] and double.process.unknown == []
    options = double.process.options
    assert json.loads(options["profiling_options"])["output"].startswith(str(tmp_path))
    assert options["profiling_mode"] and options["enable_dump"] and options["customize_dtypes"]
    assert (options["dump_step"], options["aoe_mode"]) == ("0|2", "2")
    assert (options["graph_run_mode"], options["hcom_parallel"]) == (1, True)


def test_sessions_are_on_the_npu_but_for_those_of_the_host(double: Double) -> None:
    device, precision, session = opened()
    with tf_runtime.open_session(device, precision, on_host=True) as host:
        host.run(tf.zeros([2]) + 1.0)
    reports = double.process.sessions
    assert [report["on_npu"] for report in reports] == [True, False]
    assert all(report["rewrites_left_on"] == [] for report in reports)
    session.close()


@pytest.mark.parametrize("given", [None, "0", "1"])
def test_float32_is_float32_unless_the_user_says_otherwise(monkeypatch, given) -> None:
    """The adapter's own default is HF32 convolutions, on the chips that have it."""
    variables = {} if given is None else {"ENABLE_HF32_EXECUTION": given}
    with imported(monkeypatch, soc="Ascend910B3", **variables) as double:
        opened()
        assert double.process.hf32 is (given == "1")


def test_the_device_is_the_one_of_the_rank(double: Double, monkeypatch) -> None:
    monkeypatch.setenv("ASCEND_DEVICE_ID", "0")
    precision = precision_of("O0")
    device = tf_runtime.open_device("npu", Place(0, 1, 3), precision)
    tf_runtime.open_session(device, precision).run(tf.zeros([2]) + 1.0)
    assert double.process.device == 3


# --- steps ---


def minimised(device: Any, precision: Any, factor: Any = 2.0, **more: Any) -> Any:
    """A weight that begins at 1, its step counter, and a step of gradient descent of rate 1."""
    weight = tf.get_variable("w", [], initializer=tf.ones_initializer(), use_resource=True)
    counter = tf.train.get_or_create_global_step()
    step = minimise(
        weight * factor,
        tf.train.GradientDescentOptimizer(1.0),
        [weight],
        device,
        precision,
        counter,
        **more,
    )
    return weight, counter, step


def test_a_step_is_clipped_after_unscaling_and_one_rank_needs_no_hccl(double: Double) -> None:
    device, precision, _ = opened("allow_mix_precision")
    weight, counter, step = minimised(device, precision, clip_norm=0.5)
    session = started(device, precision)
    norm, scale, _ = session.run([step.gradient_norm, step.loss_scale, step.train_op])
    assert (norm, scale, session.run(weight)) == (2.0, 65536.0, 0.5)
    assert session.run(counter) == 1 and double.process.way == "none"


@pytest.mark.parametrize(
    "scale, told", [("dynamic", [65536.0, 32768.0, 32768.0, 16384.0]), ("128", [128.0] * 4)]
)
def test_a_step_that_overflows_is_skipped_and_tells_the_scale_it_used(double, scale, told) -> None:
    device, precision, _ = opened("allow_mix_precision")
    precision = with_loss_scale(precision, scale)
    given = tf.placeholder(tf.float32, [])
    _, counter, step = minimised(device, precision, factor=given)
    session = started(device, precision)
    values = (float("inf"), 1.0, float("inf"), 1.0)
    used = [session.run([step.train_op, step.loss_scale], {given: value})[1] for value in values]
    assert used == told and session.run(counter) == 2


def test_several_ranks_share_gradients_and_overflow_and_their_mean_is_one(
    double: Double, monkeypatch
) -> None:
    device, precision = of_two_ranks(double, monkeypatch, "allow_mix_precision")
    _, _, step = minimised(device, precision)
    mean = tf_ranks.mean_in_graph(device, tf.ones([]) * 3.0, "x")
    session = started(device, precision)
    session.run(step.train_op)
    assert double.process.collective.asked == [("allreduce", "sum")] * 2
    assert session.run([step.gradient_norm, mean]) == [2.0, 3.0]


def test_ranks_that_nobody_counted_are_refused(double: Double, monkeypatch) -> None:
    with pytest.raises(ZooError, match="RANK_SIZE"):
        tf_runtime.open_device("npu", TWO, precision_of("O0"))


def test_every_variable_is_broadcast(double: Double, monkeypatch) -> None:
    device, precision = of_two_ranks(double, monkeypatch)
    for name, trainable in (("weights", True), ("moving_mean", False)):
        tf.get_variable(
            name, [2], initializer=tf.ones_initializer(), trainable=trainable, use_resource=True
        )
    tf.train.get_or_create_global_step()
    sync = tf_ranks.broadcast_in_graph(device, tf.global_variables())
    session = started(device, precision)
    session.run(sync)
    assert double.process.collective.asked == [("broadcast", 0)] * 3


def test_sums_over_ranks_are_compiled_once(double: Double, monkeypatch) -> None:
    device, _ = of_two_ranks(double, monkeypatch)
    before = len(double.process.graphs)
    sums = [tf_ranks.sum_over_ranks(device, [1.0, number])[1] for number in (2.0, 3.0)]
    assert sums == [4.0, 6.0] and len(double.process.graphs) == before + 1
    tf_ranks.close_device(device)


def test_the_first_session_of_several_ranks_has_trainings_options(
    double: Double, monkeypatch
) -> None:
    device, precision = of_two_ranks(double, monkeypatch, "force_fp16")
    assert double.process.options["precision_mode"] == "force_fp16"
    assert double.process.options["hcom_parallel"] is True and double.process.unknown == []
    tf_runtime.open_session(device, precision).run(tf.zeros([2]) + 1.0)
    tf_ranks.sum_over_ranks(device, [1.0])
    assert double.process.ignored == []
    tf_ranks.close_device(device)


def under_a_chief(double: Double, monkeypatch, size: int = 2) -> Any:
    """A device opened as one of two ranks, of which HCCL makes rank 1 of `size`."""
    for name, value in (
        ("CM_CHIEF_IP", "10.0.0.1"),
        ("CM_CHIEF_PORT", "29999"),
        ("CM_CHIEF_DEVICE", "0"),
        ("CM_WORKER_SIZE", "2"),
    ):
        monkeypatch.setenv(name, value)
    ranks = double.module("ranks")

    def join(way: str, device: int) -> None:
        double.process.collective, double.process.rank, double.process.size = Echo(size), 1, size

    monkeypatch.setattr(ranks, "join", join)
    return tf_runtime.open_device("npu", Place(0, 2, 0, numbered_by_hccl=True), precision_of("O0"))


def test_under_a_chief_hccl_tells_the_rank(double: Double, monkeypatch) -> None:
    place = under_a_chief(double, monkeypatch).place
    assert (place.rank, place.world_size) == (1, 2)


def test_a_job_of_which_hccl_knows_another_size_is_refused(double: Double, monkeypatch) -> None:
    with pytest.raises(InfrastructureError, match="HCCL has 3 rank.* CM_WORKER_SIZE says 2"):
        under_a_chief(double, monkeypatch, size=3)


def test_machines_that_hccl_numbers_otherwise_than_the_launcher_are_refused(
    double: Double, monkeypatch
) -> None:
    monkeypatch.setenv(LAUNCHED_RANK, "0")
    with pytest.raises(InfrastructureError, match="numbers this process 1 and --node_rank makes"):
        under_a_chief(double, monkeypatch)


def test_an_hccl_that_does_not_start_is_told_in_one_line(double: Double, monkeypatch) -> None:
    ranks = double.module("ranks")

    def fails(way: str, device: int) -> None:
        raise RuntimeError("not all of 2 ranks came\n  and a long tail")

    monkeypatch.setattr(ranks, "join", fails)
    monkeypatch.setenv("RANK_SIZE", "2")
    monkeypatch.setenv("RANK_ID", "0")
    monkeypatch.setenv("RANK_TABLE_FILE", "/table.json")
    with pytest.raises(InfrastructureError, match="HCCL does not start: .*") as told:
        tf_runtime.open_device("npu", Place(0, 2, 0), precision_of("O0"))
    assert "\n" not in str(told.value) and "long tail" not in str(told.value)


# --- loops on the device ---


def test_one_run_makes_the_steps_that_were_asked_for(double: Double) -> None:
    precision = precision_of("O0")
    device = tf_runtime.open_device("npu", ALONE, precision, LOOP_OF_3)
    iterator = tf.data.make_initializable_iterator(tf.data.Dataset.range(100))
    value = tf.cast(iterator.get_next(), tf.float32)
    _, counter, step = minimised(device, precision, factor=value)
    session = started(device, precision)
    session.run(iterator.initializer)
    session.run(tf_runtime.looped_on_device(device, session, step.train_op))
    assert session.run(counter) == 3
