"""The runtime adapter for TensorFlow: sessions, training steps, ranks, the NPU's parameter map."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy
import pytest

from common.core.errors import InfrastructureError, UsageError, ZooError
from common.machine.precision import Capabilities, resolve, with_loss_scale
from common.machine.ranks import ALONE, Place
from common.training.tensorflow import horovod as tf_horovod
from common.training.tensorflow import minimisation
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.draws import step_seed
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.optimizers import adam
from common.training.tensorflow.runtime import TensorFlowDevice, tf
from common.training.tensorflow.schedule import warmup_exponential_decay

pytestmark = pytest.mark.tensorflow
CPU = TensorFlowDevice("cpu", 0, "a CPU", "", "", "TensorFlow", ALONE)
GPU = TensorFlowDevice("gpu", 2, "a GPU", "", "", "TensorFlow", ALONE)
NPU_ABLE = Capabilities("1.15.0", "Ascend910A")
GPU_ABLE = Capabilities("1.15.0", "a GPU")


def precision_on(kind: str, mode: str = "O0") -> Any:
    able = {"npu": NPU_ABLE, "gpu": GPU_ABLE, "cpu": tf_runtime.capabilities("cpu")}[kind]
    return resolve(mode, "tensorflow", kind, able)


@pytest.fixture(autouse=True)
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


# --- sessions ---


def test_a_gpu_session_sees_its_own_device_and_takes_memory_as_it_needs_it() -> None:
    config = tf_runtime.session_config(GPU, precision_on("gpu"))
    assert config.gpu_options.visible_device_list == "2" and config.gpu_options.allow_growth


@pytest.mark.parametrize(
    "kind, mode, on",
    [("gpu", "O0", False), ("gpu", "allow_mix_precision", True), ("cpu", "O0", False)],
)
def test_the_graph_rewrite_is_on_for_mixed_precision_only(kind, mode, on) -> None:
    device = GPU if kind == "gpu" else CPU
    rewriter = tf_runtime.session_config(
        device, precision_on(kind, mode)
    ).graph_options.rewrite_options
    assert rewriter.auto_mixed_precision == (rewriter.ON if on else rewriter.OFF)


def test_threads_are_those_of_the_environment_else_the_allowed_cores() -> None:
    assert tf_runtime.cpu_threads({"OMP_NUM_THREADS": "3"}) == 3
    assert tf_runtime.cpu_threads({"OMP_NUM_THREADS": "many"}) == tf_runtime.cpu_threads({})


@pytest.mark.skipif(
    not tf_runtime.capabilities("cpu").bfloat16, reason="TensorFlow has no bfloat16 on this CPU"
)
def test_bfloat16_on_a_cpu_computes_convolutions_and_their_gradients_in_it() -> None:
    inputs = tf.random.stateless_normal([2, 16, 16, 8], seed=[1, 2])
    kernel = tf.get_variable("kernel", [3, 3, 8, 8])
    hidden = tf.nn.conv2d(inputs, kernel, strides=[1, 1, 1, 1], padding="SAME")
    hidden = tf.nn.conv2d(tf.nn.relu(hidden), kernel, strides=[1, 1, 1, 1], padding="SAME")
    gradient = tf.gradients(tf.reduce_mean(tf.square(hidden)), [kernel])[0]
    metadata = tf.RunMetadata()
    with tf_runtime.open_session(CPU, precision_on("cpu", "allow_mix_precision_bf16")) as session:
        session.run(tf.global_variables_initializer())
        session.run(
            gradient, options=tf.RunOptions(output_partition_graphs=True), run_metadata=metadata
        )
    types_of = [
        node.attr["T"].type
        for part in metadata.partition_graphs
        for node in part.node
        if "Conv2D" in node.op
    ]
    assert len(types_of) >= 4 and set(types_of) == {tf.bfloat16.as_datatype_enum}
    assert gradient.dtype == tf.float32


# --- training steps ---


def run_steps(losses_of: Any, steps: int, precision: Any, **arguments: Any) -> List[Any]:
    """Trains one number w, begun at 1, by gradient descent of rate 1; returns what it was told."""
    weight = tf.get_variable("w", [], initializer=tf.ones_initializer(), use_resource=True)
    counter = tf.train.get_or_create_global_step()
    step = minimise(
        losses_of(weight),
        tf.train.GradientDescentOptimizer(1.0),
        [weight],
        CPU,
        precision,
        counter,
        **arguments,
    )
    told = []
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(steps):
            scale = session.run(step.loss_scale) if step.loss_scale is not None else None
            norm = session.run([step.gradient_norm, step.train_op])[0]
            told.append((float(norm), scale, session.run(counter), float(session.run(weight))))
    return told


@pytest.mark.parametrize(
    "arguments, moved",
    [
        ({}, 8.0),
        ({"clip_norm": 2.0}, 2.0),
        ({"clip_value": 3.0}, 3.0),
        ({"clip_norm": 100.0, "clip_value": 100.0}, 8.0),
    ],
)
@pytest.mark.parametrize("scale", [None, "4", "dynamic"])
def test_gradients_are_clipped_after_unscaling(arguments, moved, scale) -> None:
    precision = precision_on("cpu")
    if scale is not None:
        precision = with_loss_scale(precision_on("gpu", "allow_mix_precision"), scale)
    norm, _, count, weight = run_steps(lambda w: 8.0 * w, 1, precision, **arguments)[0]
    assert (norm, count, weight) == (8.0, 1, 1.0 - moved)


def steep_loss(weight: Any) -> Any:
    """Its gradient is 1, but on the way 6e33: times 65536 that overflows, times 32768 not."""
    # Placeholders, for constants would be folded together.
    large, small = (
        tf.placeholder_with_default(tf.constant(value), []) for value in (6e33, 1 / 6e33)
    )
    return (weight * small) * large


def test_a_step_that_overflows_is_skipped_and_halves_the_scale() -> None:
    told = run_steps(steep_loss, 2, precision_on("gpu", "allow_mix_precision"))
    assert [(scale, count) for _, scale, count, _ in told] == [(65536.0, 0), (32768.0, 1)]
    assert not numpy.isfinite(told[0][0])
    assert [weight for *_, weight in told] == pytest.approx([1.0, 0.0], abs=1e-6)


def test_a_static_scale_skips_and_stays() -> None:
    precision = with_loss_scale(precision_on("gpu", "allow_mix_precision"), "65536")
    told = run_steps(steep_loss, 2, precision)
    assert [(scale, count) for _, scale, count, _ in told] == [(65536.0, 0), (65536.0, 0)]


def test_a_dynamic_scale_doubles_after_enough_good_steps(monkeypatch) -> None:
    monkeypatch.setattr(minimisation, "GROWTH_INTERVAL", 2)
    told = run_steps(lambda weight: weight, 5, precision_on("gpu", "allow_mix_precision"))
    assert [scale for _, scale, _, _ in told] == [65536.0, 65536.0, 131072.0, 131072.0, 262144.0]


def test_variables_that_the_loss_does_not_reach_are_left_alone() -> None:
    used, unused = (
        tf.get_variable(name, [], initializer=tf.ones_initializer()) for name in ("used", "unused")
    )
    step = minimise(
        used * 2.0,
        tf.train.GradientDescentOptimizer(1.0),
        [used, unused],
        CPU,
        precision_on("cpu"),
        tf.train.get_or_create_global_step(),
        clip_value=20.0,
    )
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step.train_op)
        assert session.run([used, unused]) == [-1.0, 1.0]


def test_updates_run_before_the_gradients_are_applied() -> None:
    weight, seen = (
        tf.get_variable(name, [], initializer=tf.ones_initializer(), use_resource=True)
        for name in ("weight", "seen")
    )
    update = seen.assign(weight.read_value())
    step = minimise(
        weight * 2.0,
        tf.train.GradientDescentOptimizer(1.0),
        [weight],
        CPU,
        precision_on("cpu"),
        tf.train.get_or_create_global_step(),
        updates=[update],
    )
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step.train_op)
        assert session.run([weight, seen]) == [-1.0, 1.0]


def test_adam_has_its_epsilon_beside_the_uncorrected_root() -> None:
    weight = tf.get_variable("w", [], initializer=tf.zeros_initializer(), use_resource=True)
    train = adam(0.1).minimize(weight * 1e-7)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        moved = float(session.run(weight))
    gradient = 1e-7
    root = numpy.sqrt(0.001) * gradient
    expected = -0.1 * numpy.sqrt(0.001) / 0.1 * (0.1 * gradient) / (root + 1e-8)
    assert moved == pytest.approx(expected, rel=1e-4)


def test_the_learning_rate_warms_up_and_decays_at_once() -> None:
    steps = [0, 1, 5, 10, 100, 250]
    rates = [
        warmup_exponential_decay(tf.constant(step, tf.int64), 0.4, 10, 0.5, 100) for step in steps
    ]
    with tf.Session() as session:
        found = session.run(rates)
    assert found == pytest.approx(
        [0.4 * min(1.0, step / 10) * 0.5 ** (step / 100) for step in steps], rel=1e-6
    )
    assert found[0] == 0.0


def test_without_warm_up_the_first_step_has_the_whole_rate() -> None:
    with tf.Session() as session:
        assert session.run(warmup_exponential_decay(tf.constant(0), 0.5, 0, 0.5, 10)) == 0.5


def test_draws_depend_on_seed_step_stream_and_rank_and_on_nothing_else() -> None:
    keys = [
        (1, 5, "noise", 0),
        (2, 5, "noise", 0),
        (1, 6, "noise", 0),
        (1, 5, "other", 0),
        (1, 5, "noise", 1),
    ]
    draws = [
        tf.random.stateless_normal(
            [4], seed=step_seed(seed, tf.constant(step, tf.int64), stream, rank)
        )
        for seed, step, stream, rank in keys
    ]
    with tf.Session() as session:
        first, second = session.run(draws), session.run(draws)
    assert numpy.array_equal(first, second)
    assert len({value.tobytes() for value in first}) == len(keys)


# --- ranks ---


def test_horovods_variables_follow_from_any_launchers() -> None:
    found = tf_horovod.horovod_variables(
        Place(5, 8, 1), "10.0.0.1", 15000, {"LOCAL_WORLD_SIZE": "4"}
    )
    assert {
        name: found["HOROVOD_" + name]
        for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE")
    } == {
        "RANK": "5",
        "SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_SIZE": "4",
        "CROSS_RANK": "1",
        "CROSS_SIZE": "2",
    }
    assert "HOROVOD_GLOO_IFACE" not in found


def test_missing_horovod_is_told_with_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "horovod", None)
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", None)
    with pytest.raises(ZooError, match='install the extra "horovod"'):
        tf_runtime.open_device("cpu", Place(0, 2, 0), precision_on("cpu"))


def test_several_ranks_without_a_port_are_told(monkeypatch) -> None:
    monkeypatch.delenv("MASTER_PORT", raising=False)
    monkeypatch.setattr(tf_horovod, "horovod_module", lambda: None)
    with pytest.raises(UsageError, match="MASTER_PORT"):
        tf_runtime.open_device("cpu", Place(0, 2, 0), precision_on("cpu"))


def test_a_first_rank_that_does_not_come_is_told(monkeypatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setattr(tf_horovod, "horovod_module", lambda: None)
    with pytest.raises(
        InfrastructureError, match="rank 1 of 2 did not meet the others at 127.0.0.1:1"
    ):
        tf_runtime.open_device("cpu", Place(1, 2, 1), precision_on("cpu"), timeout_seconds=0.2)


def test_one_rank_sums_and_shares_alone() -> None:
    assert tf_runtime.sum_over_ranks(CPU, [1, 2.5]) == [1.0, 2.5]


# --- devices that are not there ---


def test_missing_npu_bridge_is_told(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "npu_bridge", None)
    with pytest.raises(ZooError, match="npu_bridge"):
        tf_runtime.capabilities("npu")


def test_a_gpu_that_is_not_there_is_told(monkeypatch) -> None:
    monkeypatch.setattr(tf_runtime, "_gpus", lambda: [])
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    with pytest.raises(ZooError, match="--device gpu: TensorFlow .* finds no GPU"):
        tf_runtime.capabilities("gpu")


def test_a_gpus_number_is_checked(monkeypatch) -> None:
    monkeypatch.setattr(tf_runtime, "_gpus", lambda: ["one", "two"])
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    with pytest.raises(UsageError, match="--device_id 2: TensorFlow .* sees 2 gpu"):
        tf_runtime.capabilities("gpu", 2)


ROOT = str(Path(__file__).resolve().parents[1])
_GRADIENT_OF_A_BIAS = """
from common.training.tensorflow import runtime as tf_runtime
from common.machine.precision import resolve
from common.machine.ranks import ALONE
from common.training.tensorflow.runtime import tf
precision = resolve("allow_mix_precision_bf16", "tensorflow", "cpu", tf_runtime.capabilities("cpu"))
device = tf_runtime.open_device("cpu", ALONE, precision)
kernel, bias = tf.get_variable("kernel", [3, 3, 8, 8]), tf.get_variable("bias", [8])
images = tf.random.stateless_normal([2, 16, 16, 8], seed=[1, 2])
for _ in range(2):
    images = tf.nn.conv2d(images, kernel, strides=[1, 1, 1, 1], padding="SAME")
    images = tf.nn.relu(tf.nn.bias_add(images, bias))
gradients = tf.gradients(tf.reduce_mean(tf.square(images)), [kernel, bias])
metadata = tf.RunMetadata()
with tf_runtime.open_session(device, precision) as session:
    session.run(tf.global_variables_initializer())
    session.run(gradients, options=tf.RunOptions(output_partition_graphs=True),
                run_metadata=metadata)
types = {name: {node.attr["T"].type for part in metadata.partition_graphs for node in part.node
                if name in node.op} for name in ("Conv2DBackprop", "BiasAddGrad")}
assert types["Conv2DBackprop"] == {tf.bfloat16.as_datatype_enum}, types
assert types["BiasAddGrad"] == {tf.float32.as_datatype_enum}, types
"""


_TWO_PRODUCTS = """
from common.training.tensorflow import runtime as tf_runtime
from common.machine.precision import resolve
from common.machine.ranks import ALONE
from common.training.tensorflow.runtime import tf
tf_runtime.keep_in_float32(["MatMul"])
precision = resolve("allow_mix_precision_bf16", "tensorflow", "cpu", tf_runtime.capabilities("cpu"))
device = tf_runtime.open_device("cpu", ALONE, precision)
kernel = tf.get_variable("kernel", [3, 3, 8, 8])
hidden = tf.random.stateless_normal([2, 16, 16, 8], seed=[1, 2])
for _ in range(2):
    hidden = tf.nn.relu(tf.nn.conv2d(hidden, kernel, strides=[1, 1, 1, 1], padding="SAME"))
product = tf.matmul(tf.reduce_mean(hidden, axis=[1, 2]), tf.get_variable("matrix", [8, 8]))
metadata = tf.RunMetadata()
with tf_runtime.open_session(device, precision) as session:
    session.run(tf.global_variables_initializer())
    session.run(product, options=tf.RunOptions(output_partition_graphs=True), run_metadata=metadata)
types = {name: {node.attr["T"].type for part in metadata.partition_graphs for node in part.node
                if name in node.op} for name in ("Conv2D", "MatMul")}
assert types["MatMul"] == {tf.float32.as_datatype_enum}, types
assert types["Conv2D"] == {tf.bfloat16.as_datatype_enum}, types
"""


@pytest.mark.skipif(
    not tf_runtime.capabilities("cpu").bfloat16, reason="TensorFlow has no bfloat16 on this CPU"
)
def test_operations_kept_in_float32_are_and_the_others_are_not(tmp_path: Path) -> None:
    script = tmp_path / "products.py"  # in a process of its own: the lists are read once
    script.write_text(_TWO_PRODUCTS)
    done = subprocess.run(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, PYTHONPATH=ROOT),
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(
    not tf_runtime.capabilities("cpu").bfloat16, reason="TensorFlow has no bfloat16 on this CPU"
)
def test_gradients_of_biases_are_summed_in_float32(tmp_path: Path) -> None:
    script = tmp_path / "bias.py"
    script.write_text(_GRADIENT_OF_A_BIAS)
    done = subprocess.run(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, PYTHONPATH=ROOT),
    )
    assert done.returncode == 0, done.stdout


def test_lists_that_the_user_gives_are_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tf_runtime.REWRITE_LISTS
    for name in names:
        monkeypatch.setenv(name, "Conv2D")
    tf_runtime.keep_in_float32(["MatMul", "Conv2D"])
    assert [os.environ[name] for name in names] == ["Conv2D,MatMul"] * 4


def test_gradients_are_slow_on_processors_under_tensorflow_1_alone() -> None:
    assert tf_runtime.has_slow_gradients(CPU) is tf.__version__.startswith("1.")
    for kind in ("gpu", "npu"):
        assert not tf_runtime.has_slow_gradients(dataclasses.replace(CPU, kind=kind))


def test_host_memory_is_kept_under_tensorflow_1_unless_the_user_says_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: Dict[str, str] = {}
    refused = {"TF_CPU_ALLOCATOR_USE_BFC": "0"}
    for environment in (given, refused):
        monkeypatch.setattr(os, "environ", environment)
        tf_runtime.keep_host_memory()
    first = tf.__version__.startswith("1.")
    assert given == ({"TF_CPU_ALLOCATOR_USE_BFC": "1"} if first else {})
    assert refused == {"TF_CPU_ALLOCATOR_USE_BFC": "0"}
