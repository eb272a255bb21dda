"""The adapter for TensorFlow: sessions, training steps, ranks, devices that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import numpy
import pytest

from common.core.errors import InfrastructureError, UsageError, ZooError
from common.machine.precision import Capabilities, resolve, with_loss_scale
from common.machine.ranks import ALONE, Place
from common.training.flags import COSINE
from common.training.noise import step_normal
from common.training.schedule import Schedule
from common.training.tensorflow import horovod as tf_horovod
from common.training.tensorflow import minimisation
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.of_step import scheduled_rate, step_seed
from common.training.tensorflow.runtime import TensorFlowDevice, tf

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("default_graph")]
ROOT = str(Path(__file__).resolve().parents[1])
CPU = TensorFlowDevice("cpu", 0, "a CPU", "", "", "TensorFlow", ALONE)
GPU = TensorFlowDevice("gpu", 2, "a GPU", "", "", "TensorFlow", ALONE)


def precision_on(kind: str, mode: str = "O0") -> Any:
    able = Capabilities("1.15.0", "a GPU") if kind == "gpu" else tf_runtime.capabilities("cpu")
    return resolve(mode, "tensorflow", kind, able)


SCALED = precision_on("gpu", "allow_mix_precision")


# --- sessions ---


@pytest.mark.parametrize(
    "device, mode, on",
    [(GPU, "O0", False), (GPU, "allow_mix_precision", True), (CPU, "O0", False)],
)
def test_a_session_has_its_own_device_and_rewrites_for_mixed_precision_only(
    device: Any, mode: str, on: bool
) -> None:
    config = tf_runtime.session_config(device, precision_on(device.kind, mode))
    rewriter = config.graph_options.rewrite_options
    assert rewriter.auto_mixed_precision == (rewriter.ON if on else rewriter.OFF)
    if device is GPU:
        assert config.gpu_options.visible_device_list == "2" and config.gpu_options.allow_growth
    else:
        assert config.intra_op_parallelism_threads == tf_runtime.cpu_threads()


NARROW = """
from common.training.tensorflow import runtime as tf_runtime
from common.machine.precision import resolve
from common.machine.ranks import ALONE
from common.training.tensorflow.runtime import tf
tf_runtime.keep_in_float32(["MatMul"])
precision = resolve("allow_mix_precision_bf16", "tensorflow", "cpu", tf_runtime.capabilities("cpu"))
device = tf_runtime.open_device("cpu", ALONE, precision)
kernel, bias = tf.get_variable("kernel", [3, 3, 8, 8]), tf.get_variable("bias", [8])
images = tf.random.stateless_normal([2, 16, 16, 8], seed=[1, 2])
for _ in range(2):
    images = tf.nn.conv2d(images, kernel, strides=[1, 1, 1, 1], padding="SAME")
    images = tf.nn.relu(tf.nn.bias_add(images, bias))
product = tf.matmul(tf.reduce_mean(images, axis=[1, 2]), tf.get_variable("matrix", [8, 8]))
gradients = tf.gradients(tf.reduce_mean(tf.square(images)), [kernel, bias])
metadata = tf.RunMetadata()
with tf_runtime.open_session(device, precision) as session:
    session.run(tf.global_variables_initializer())
    session.run([product, gradients], options=tf.RunOptions(output_partition_graphs=True),
                run_metadata=metadata)
for name in ("Conv2D", "MatMul", "BiasAddGrad"):
    print(*{tf.as_dtype(node.attr["T"].type).name for part in metadata.partition_graphs
            for node in part.node if name in node.op})
"""


@pytest.mark.long
@pytest.mark.skipif(
    not tf_runtime.capabilities("cpu").bfloat16, reason="TensorFlow has no bfloat16 on this CPU"
)
def test_bfloat16_is_for_convolutions_and_not_for_what_is_kept_in_float32(tmp_path: Path) -> None:
    """Gradients of biases are kept: a processor would sum them in bfloat16."""
    script = tmp_path / "narrow.py"  # in a process of its own: the lists are read once
    script.write_text(NARROW)
    environment = dict(os.environ, PYTHONPATH=ROOT)
    told = subprocess.check_output([sys.executable, str(script)], env=environment, text=True)
    assert told.split() == ["bfloat16", "float32", "float32"]


# --- training steps ---


def run_steps(losses_of: Any, steps: int, precision: Any, **arguments: Any) -> List[Any]:
    """Trains one number w, begun at 1, by gradient descent of rate 1; returns what it was told."""
    weight = tf.get_variable("w", [], initializer=tf.ones_initializer(), use_resource=True)
    counter = tf.train.get_or_create_global_step()
    optimizer, loss = tf.train.GradientDescentOptimizer(1.0), losses_of(weight)
    step = minimise(loss, optimizer, [weight], CPU, precision, counter, **arguments)
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
def test_gradients_are_clipped_after_unscaling(arguments: Any, moved: float, scale: Any) -> None:
    precision = precision_on("cpu") if scale is None else with_loss_scale(SCALED, scale)
    norm, _, count, weight = run_steps(lambda w: 8.0 * w, 1, precision, **arguments)[0]
    assert (norm, count, weight) == (8.0, 1, 1.0 - moved)


def steep_loss(weight: Any) -> Any:
    """Its gradient is 1, but on the way 6e33: times 65536 that overflows, times 32768 not."""
    # Placeholders, for constants would be folded together.
    large, small = (
        tf.placeholder_with_default(tf.constant(value), []) for value in (6e33, 1 / 6e33)
    )
    return (weight * small) * large


@pytest.mark.parametrize(
    "scale, told, moved",
    [
        ("dynamic", [(65536.0, 0), (32768.0, 1)], [1.0, 0.0]),
        ("65536", [(65536.0, 0), (65536.0, 0)], [1.0, 1.0]),
    ],
)
def test_a_step_that_overflows_is_skipped_and_halves_a_dynamic_scale(
    scale: str, told: Any, moved: Any
) -> None:
    found = run_steps(steep_loss, 2, with_loss_scale(SCALED, scale))
    assert [(scale, count) for _, scale, count, _ in found] == told
    assert not numpy.isfinite(found[0][0])
    assert [weight for *_, weight in found] == pytest.approx(moved, abs=1e-6)


def test_a_dynamic_scale_doubles_after_enough_good_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimisation, "GROWTH_INTERVAL", 2)
    told = run_steps(lambda weight: weight, 5, SCALED)
    assert [scale for _, scale, _, _ in told] == [65536.0, 65536.0, 131072.0, 131072.0, 262144.0]


def test_updates_come_first_and_variables_that_the_loss_does_not_reach_are_left_alone() -> None:
    weight, unused, seen = (
        tf.get_variable(name, [], initializer=tf.ones_initializer(), use_resource=True)
        for name in ("weight", "unused", "seen")
    )
    update, counter = seen.assign(weight.read_value()), tf.train.get_or_create_global_step()
    trained, optimizer = [weight, unused], tf.train.GradientDescentOptimizer(1.0)
    about = (optimizer, trained, CPU, precision_on("cpu"), counter)
    step = minimise(weight * 2.0, *about, updates=[update])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step.train_op)
        assert session.run([weight, unused, seen]) == [-1.0, 1.0, 1.0]


def test_the_learning_rate_warms_up_and_decays_at_once() -> None:
    steps = [0, 1, 5, 10, 100, 250]
    schedule = Schedule(0.4, 10, decay_rate=0.5, decay_steps=100)
    rates = [scheduled_rate(schedule, tf.constant(step, tf.int64)) for step in steps]
    with tf.Session() as session:
        found = session.run(rates)
    assert found == pytest.approx(
        [0.4 * min(1.0, step / 10) * 0.5 ** (step / 100) for step in steps], rel=1e-6
    )
    assert found[0] == 0.0
    assert found == pytest.approx([schedule.at(step) for step in steps], rel=1e-6)


@pytest.mark.parametrize(
    "warmup, step, wanted", [(0, 0, 0.5), (10, 5, 0.25 * (1 + 0.5**0.5) / 2), (0, 20, 0.0)]
)
def test_a_cosine_ends_at_nothing_and_begins_whole_without_a_warm_up(
    warmup: int, step: int, wanted: float
) -> None:
    schedule = Schedule(0.5, warmup, COSINE, steps=20)
    rate = scheduled_rate(schedule, tf.constant(step))
    with tf.Session() as session:
        assert session.run(rate) == pytest.approx(wanted, abs=1e-7)
    assert schedule.at(step) == pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize("shape", [(3, 7, 5), (1,), (4, 64)])
def test_numpy_draws_what_tensorflow_draws(shape: Any) -> None:
    drawn = tf.random.stateless_normal(shape, step_seed(3, tf.constant(70000), "slots", 1))
    with tf.Session() as session:
        wanted = session.run(drawn)
    found = step_normal(shape, 3, 70000, "slots", 1)
    assert found.dtype == numpy.float32 and numpy.abs(found - wanted).max() < 1e-6


# --- ranks ---


def test_horovods_variables_follow_from_any_launchers() -> None:
    place, given = Place(5, 8, 1), {"LOCAL_WORLD_SIZE": "4"}
    found = tf_horovod.horovod_variables(place, "10.0.0.1", 15000, given)
    names = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE")
    assert [found["HOROVOD_" + name] for name in names] == ["5", "8", "1", "4", "1", "2"]
    assert "HOROVOD_GLOO_IFACE" not in found


@pytest.mark.parametrize(
    "installed, rank, port, kind, told",
    [
        (False, 0, "1", ZooError, 'install the extra "horovod"'),
        (True, 0, "", UsageError, "MASTER_PORT"),
        (True, 1, "1", InfrastructureError, "rank 1 of 2 did not meet the others at 127.0.0.1:1"),
    ],
)
def test_ranks_that_cannot_meet_are_told(
    monkeypatch: pytest.MonkeyPatch, installed: bool, rank: int, port: str, kind: Any, told: str
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", port)
    if installed:
        monkeypatch.setattr(tf_horovod, "horovod_module", lambda: None)
    else:
        monkeypatch.setitem(sys.modules, "horovod", None)
        monkeypatch.setitem(sys.modules, "horovod.tensorflow", None)
    place, precision = Place(rank, 2, rank), precision_on("cpu")
    with pytest.raises(kind, match=told):
        tf_runtime.open_device("cpu", place, precision, timeout_seconds=0.2)


# --- devices that are not there ---


@pytest.mark.parametrize(
    "kind, index, gpus, kind_of_error, told",
    [
        ("npu", 0, [], ZooError, "needs npu_bridge, which is not installed: install CANN"),
        ("gpu", 0, [], ZooError, "--device gpu: TensorFlow .* finds no GPU"),
        ("gpu", 2, ["one", "two"], UsageError, "--device_id 2: TensorFlow .* sees 2 gpu"),
    ],
)
def test_a_device_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    index: int,
    gpus: Any,
    kind_of_error: Any,
    told: str,
) -> None:
    monkeypatch.setitem(sys.modules, "npu_bridge", None)
    monkeypatch.setattr(tf_runtime, "_gpus", lambda: gpus)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    with pytest.raises(kind_of_error, match=told):
        tf_runtime.capabilities(kind, index)
