"""Names of what TensorFlow's layers give: attribute paths, numbered where a layer is used again."""

from __future__ import annotations

import pytest

from common.training.tensorflow.activations import noted, part, recording
from common.training.tensorflow.runtime import tf

pytestmark = pytest.mark.tensorflow


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
