"""The double of npu_bridge: optimizers that average gradients and scale the loss."""

from __future__ import annotations

from typing import Any, List

import numpy
import pytest

from common.training.tensorflow.runtime import tf
from tests.ascend_doubles.fresh_npu_bridge import Double, imported
from tests.ascend_doubles.npu_bridge_stand_ins import Echo

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("default_graph")]


def collectives() -> int:
    return len(
        [
            operation
            for operation in tf.get_default_graph().get_operations()
            if operation.name.startswith("Hcom") and "PyFunc" in operation.type
        ]
    )


def descent(rate: float = 1.0) -> Any:
    return tf.train.GradientDescentOptimizer(rate)


def number(value: float = 1.0, name: str = "w") -> Any:
    return tf.get_variable(name, [], initializer=tf.constant_initializer(value), use_resource=True)


# --- distributed ---


def test_gradients_are_averaged_where_the_environment_has_a_rank_size(
    double: Double, monkeypatch
) -> None:
    weight = number()
    optimizer = double.init.NPUDistributedOptimizer(descent())
    optimizer.compute_gradients(weight * 2.0, var_list=[weight])
    assert collectives() == 0
    monkeypatch.setenv("RANK_SIZE", "2")
    double.init.init_resource()
    double.process.collective = Echo(2)
    ((gradient, _),) = optimizer.compute_gradients(weight * 2.0, var_list=[weight])
    assert collectives() == 1
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(gradient) == 2.0  # the mean, not the sum


def test_hccl_is_not_asked_for_the_rank_size(double: Double) -> None:
    double.process.collective, double.process.size = Echo(8), 8
    weight = number()
    double.init.NPUDistributedOptimizer(descent()).compute_gradients(weight * 2.0, [weight])
    assert collectives() == 0


@pytest.mark.parametrize("adapter, count", [("1.10.0", 0), ("1.11.0", 1)])
def test_the_size_under_a_chief_is_known_from_1_11_on(monkeypatch, adapter, count) -> None:
    with imported(monkeypatch, adapter, CM_WORKER_SIZE="8") as double:
        weight = number()
        double.init.npu_tf_optimizer(descent()).compute_gradients(weight * 2.0, [weight])
        assert collectives() == count


def test_sparse_gradients_are_gathered_twice_and_none_passes_through(
    double: Double, monkeypatch
) -> None:
    monkeypatch.setenv("RANK_SIZE", "2")
    table, unused = tf.get_variable("table", [4, 2], use_resource=False), number(name="unused")
    loss = tf.reduce_sum(tf.gather(table, [1, 3]))
    pairs = double.init.NPUDistributedOptimizer(descent()).compute_gradients(loss, [table, unused])
    assert isinstance(pairs[0][0], tf.IndexedSlices) and pairs[1][0] is None
    assert collectives() == 2


def test_the_wrapper_averages_in_place(double: Double, monkeypatch) -> None:
    monkeypatch.setenv("RANK_SIZE", "2")
    weight, optimizer = number(), descent()
    assert double.init.npu_distributed_optimizer_wrapper(optimizer) is optimizer
    optimizer.compute_gradients(weight * 2.0, [weight])
    assert collectives() == 1


# --- loss scale ---


def test_a_fixed_scale_is_at_least_one(double: Double) -> None:
    with pytest.raises(ValueError):
        double.init.FixedLossScaleManager(0.5)


def test_compute_gradients_gives_unscaled_gradients(double: Double) -> None:
    weight = number()
    optimizer = double.init.NPULossScaleOptimizer(
        descent(), double.init.FixedLossScaleManager(1024.0)
    )
    scaled = []
    original = optimizer._opt.compute_gradients
    optimizer._opt.compute_gradients = lambda loss, **named: (
        scaled.append(loss) or original(loss, **named)
    )
    ((gradient, _),) = optimizer.compute_gradients(weight * 2.0, var_list=[weight])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run([gradient, scaled[0]]) == [2.0, 2048.0]


def steps(double: Double, manager: Any, gradients: List[float]) -> List[Any]:
    """Trains w by these gradients; after each step (scale, global_step, w)."""
    weight, given = number(0.0), tf.placeholder(tf.float32, [])
    counter = tf.train.get_or_create_global_step()
    train = double.init.NPULossScaleOptimizer(descent(), manager).minimize(
        weight * given, global_step=counter
    )
    told = []
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for gradient in gradients:
            session.run(train, {given: gradient})
            told.append(
                tuple(
                    float(value)
                    for value in session.run([manager.get_loss_scale(), counter, weight])
                )
            )
    return told


BAD = float("inf")


def test_a_step_that_overflows_advances_nothing(double: Double) -> None:
    told = steps(double, double.init.FixedLossScaleManager(8.0), [1.0, BAD, 1.0])
    assert told == [(8.0, 1, -1.0), (8.0, 1, -1.0), (8.0, 2, -2.0)]


def test_without_the_check_a_fixed_scale_applies_everything(double: Double) -> None:
    manager = double.init.FixedLossScaleManager(8.0, enable_overflow_check=False)
    assert steps(double, manager, [BAD])[0][1] == 1


def exponential(double: Double, start: float, **arguments: Any) -> Any:
    return double.init.ExponentialUpdateLossScaleManager(start, 2, **arguments)


def scales(told: List[Any]) -> List[float]:
    return [scale for scale, *_ in told]


def test_the_scale_grows_after_enough_good_steps(double: Double) -> None:
    told = steps(double, exponential(double, 4.0), [1.0] * 5)
    assert scales(told) == [4.0, 8.0, 8.0, 16.0, 16.0]


def test_the_scale_shrinks_after_two_bad_steps_by_its_default_ratio(double: Double) -> None:
    told = steps(double, exponential(double, 100.0), [BAD, BAD, BAD])
    assert scales(told) == pytest.approx([100.0, 80.0, 80.0])


def test_a_bad_step_begins_the_count_of_good_ones_anew(double: Double) -> None:
    manager = exponential(double, 4.0, decr_every_n_nan_or_inf=5)
    assert scales(steps(double, manager, [1.0, BAD, 1.0, 1.0])) == [4.0, 4.0, 4.0, 8.0]


def test_the_scale_does_not_fall_below_one(double: Double) -> None:
    manager = exponential(double, 3.0, decr_every_n_nan_or_inf=1, decr_ratio=0.5)
    assert scales(steps(double, manager, [BAD] * 3)) == [1.5, 1.0, 1.0]


@pytest.mark.parametrize(
    "soc, adapter, ranks, count",
    [
        ("Ascend910A", "1.15.0", True, 1),
        ("Ascend910A", "1.15.0", False, 0),
        ("Ascend910B3", "1.15.0", True, 0),
        ("Ascend910B3", "1.12.0", True, 1),
    ],
)
def test_is_distributed_always_builds_an_exchange_but_for_chips_with_inf_and_nan(
    monkeypatch, soc, adapter, ranks, count
) -> None:
    with imported(monkeypatch, adapter, soc) as double:
        weight = number()
        double.init.NPULossScaleOptimizer(
            descent(), double.init.FixedLossScaleManager(8.0), is_distributed=ranks
        ).minimize(weight * 2.0)
        assert collectives() == count


def test_is_distributed_on_one_card_fails_without_hccl(double: Double) -> None:
    weight = number()
    train = double.init.NPULossScaleOptimizer(
        descent(), double.init.FixedLossScaleManager(8.0), is_distributed=True
    ).minimize(weight * 2.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InternalError, match="HCCL is not initialised"):
            session.run(train)


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
        inner = double.init.NPUDistributedOptimizer(descent())
        train = double.init.NPULossScaleOptimizer(
            inner, double.init.FixedLossScaleManager(8.0), is_distributed=shared
        ).minimize(weight * 2.0, global_step=counter)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            session.run(train)
            assert session.run(counter) == applied
