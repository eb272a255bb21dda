"""Dumps of TensorFlow trainings: the right tensors, and a training that does not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from common.core.errors import UsageError
from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump.reading import Dump, find_dump
from common.training.tensorflow.activations import noted, part, recording
from common.training.tensorflow.runtime import tf
from tests import test_tf_training
from tests.test_tf_training import assert_same_bits, events, run_ranks
from tests.toy_training import run_toy

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def dumped(tmp_path_factory) -> Path:
    """A run of six steps that stored the third."""
    folder = tmp_path_factory.mktemp("dumped")
    run_toy(folder, 6, dump_tensors=3)
    return folder


def tensors(dump: Dump) -> Dict[Any, np.ndarray]:
    names = [(entry.kind, entry.name) for entry in dump.index.tensors]
    return dict(zip(names, dump.tensors(names)))


def test_a_run_with_a_dump_ends_with_the_weights_of_one_without(dumped, tmp_path) -> None:
    run_toy(tmp_path, 6)
    assert_same_bits(dumped / "ckpt/step_00000006", tmp_path / "ckpt/step_00000006")
    assert [event["loss"] for event in events(dumped, "step")] == [
        event["loss"] for event in events(tmp_path, "step")
    ]


def test_everything_is_stored_in_execution_order(dumped) -> None:
    assert [(entry.kind, entry.name) for entry in find_dump(dumped).index.tensors] == [
        ("activation", "hidden"),
        ("activation", "last"),
        ("loss", "loss"),
        ("gradient", "last/bias"),
        ("gradient", "last/kernel"),
        ("gradient", "hidden/bias"),
        ("gradient", "hidden/kernel"),
        ("weight", "hidden/kernel"),
        ("weight", "hidden/bias"),
        ("weight", "last/kernel"),
        ("weight", "last/bias"),
    ]


def test_the_tensors_are_those_of_the_step(dumped) -> None:
    """Computed again with numpy from the inputs that are stored beside them."""
    dump = find_dump(dumped)
    found, before = tensors(dump), dump.inputs("weight before")
    batch, noise = dump.inputs("batch")["0"], dump.inputs("noise")["features"]
    hidden = np.maximum(
        (batch + 0.1 * noise).dot(before["hidden/kernel"]) + before["hidden/bias"], 0
    )
    last = hidden.dot(before["last/kernel"]) + before["last/bias"]
    error = last - batch.sum(axis=1, keepdims=True)
    assert found["activation", "hidden"] == pytest.approx(hidden, rel=1e-5, abs=1e-6)
    assert found["activation", "last"] == pytest.approx(last, rel=1e-5, abs=1e-6)
    assert float(found["loss", "loss"]) == pytest.approx(float(np.mean(error**2)), rel=1e-5)
    assert found["gradient", "last/kernel"] == pytest.approx(
        hidden.T.dot(2 * error / len(error)), rel=1e-4, abs=1e-6
    )


def test_the_stored_loss_is_that_of_the_run_log(dumped) -> None:
    assert float(tensors(find_dump(dumped))["loss", "loss"]) == pytest.approx(
        events(dumped, "step")[2]["loss"], abs=1e-6
    )


def test_updated_weights_are_what_the_next_step_begins_with(dumped, tmp_path) -> None:
    run_toy(tmp_path, 6, dump_tensors=4)
    before = find_dump(tmp_path).inputs("weight before")
    found = tensors(find_dump(dumped))
    assert all(np.array_equal(found["weight", name], value) for name, value in before.items())


def test_gradients_are_not_clipped(tmp_path) -> None:
    run_toy(tmp_path / "clipped", 3, dump_tensors=1, clip_norm=1e-3)
    run_toy(tmp_path / "free", 3, dump_tensors=1)
    one, other = (tensors(find_dump(tmp_path / name)) for name in ("clipped", "free"))
    assert np.array_equal(one["gradient", "last/kernel"], other["gradient", "last/kernel"])


def test_another_run_repeats_the_step_from_the_dump(dumped, tmp_path) -> None:
    run_toy(tmp_path, 6, seed=2, dump_from=str(dumped))
    outcome = compare_dumps(find_dump(dumped), find_dump(tmp_path))
    assert outcome.verdict == WITHIN
    assert max(item.relative for item in outcome.differences) == 0
    assert [event["step"] for event in events(tmp_path, "step")] == [3, 4, 5, 6]


def test_a_run_from_a_dump_trains_on_as_the_run_it_is_from(dumped, tmp_path) -> None:
    run_toy(tmp_path, 6, dump_from=str(dumped))
    assert_same_bits(dumped / "ckpt/step_00000006", tmp_path / "ckpt/step_00000006")


def test_another_seed_without_the_dump_is_another_computation(dumped, tmp_path) -> None:
    run_toy(tmp_path, 3, seed=2, dump_tensors=3)
    found = compare_dumps(find_dump(dumped), find_dump(tmp_path)).obstacles
    assert any("tensors of noise" in line for line in found)
    assert any("weights" in line for line in found)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"dump_tensors": 9}, "step 9 is to be stored, but training ends at step 6"),
        ({"dump_from": "{}", "resume": True}, "give one of them"),
        ({"dump_from": "{}", "units": 5}, "give the flags of that run"),
        ({"dump_from": "{}", "batch_size": 4}, "--batch_size included"),
        ({"dump_from": "{}", "dump_tensors": 2}, "holds no dump of step 2"),
        ({"dump_from": "nowhere"}, "holds no dump"),
    ],
)
def test_flags_that_do_not_fit_are_refused(given, said, dumped, tmp_path) -> None:
    given = {name: str(dumped) if value == "{}" else value for name, value in given.items()}
    with pytest.raises(UsageError, match=said):
        run_toy(tmp_path, 6, **given)


def test_a_dump_that_was_repeated_is_no_source(dumped, tmp_path) -> None:
    run_toy(tmp_path / "second", 3, dump_from=str(dumped))
    with pytest.raises(UsageError, match="give that one to --dump_from"):
        run_toy(tmp_path / "third", 3, dump_from=str(tmp_path / "second"))


@pytest.mark.slow
@pytest.mark.skipif(not test_tf_training.HAS_HOROVOD, reason="needs Horovod")
def test_of_two_ranks_the_first_one_stores_and_training_does_not_notice(tmp_path) -> None:
    run_ranks(tmp_path / "with", 5, "dump_tensors=3")
    run_ranks(tmp_path / "without", 5)
    assert_same_bits(tmp_path / "with/ckpt/step_00000005", tmp_path / "without/ckpt/step_00000005")
    assert find_dump(tmp_path / "with").subject.world_size == 2


# --- names ---


class Inner(tf.keras.layers.Layer):
    """A layer that says the name of what is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = tf.keras.layers.Dense(2)

    def call(self, inputs):
        return noted("twice", 2 * self.dense(inputs)) + 1


class Outer(tf.keras.layers.Layer):
    """Layers in a Sequential, and one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = tf.keras.Sequential([tf.keras.layers.Dense(3), tf.keras.layers.Dense(2)])
        self.inner = Inner()

    def call(self, inputs):
        return self.inner(self.inner(self.stack(inputs)))


def test_names_are_attribute_paths_numbered_where_a_layer_is_used_again() -> None:
    with tf.Graph().as_default():
        network = Outer()
        with recording(network) as found:
            network(tf.zeros([1, 2]))
    assert list(found) == [
        "stack/0",
        "stack/1",
        "inner/dense@1",
        "inner/twice@1",
        "inner@1",
        "inner/dense@2",
        "inner/twice@2",
        "inner@2",
    ]


def test_passes_are_told_apart_and_layers_can_be_left_out() -> None:
    with tf.Graph().as_default():
        network = Outer()
        with recording(network, left_out=(tf.keras.layers.Dense,)) as found:
            for name in ("one", "two"):
                with part(name):
                    noted("sum", network.inner(tf.zeros([1, 2])) + 1, of=network.stack)
    assert list(found) == [
        "one/inner/twice",
        "one/inner",
        "one/stack/sum",
        "two/inner/twice",
        "two/inner",
        "two/stack/sum",
    ]


def test_nothing_is_recorded_outside_and_layers_are_as_before() -> None:
    before = tf.keras.layers.Layer.__call__
    with tf.Graph().as_default():
        network = Outer()
        with pytest.raises(ZeroDivisionError), recording(network) as found:
            raise ZeroDivisionError
        network(tf.zeros([1, 2]))
        assert noted("name", 5) == 5
    assert found == {} and tf.keras.layers.Layer.__call__ is before
