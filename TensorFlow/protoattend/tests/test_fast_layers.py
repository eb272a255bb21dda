"""The fast layers give what the stock operations give, and the same gradients."""

from __future__ import annotations

import numpy as np
import pytest

from common.training.tensorflow.activations import recording
from common.training.tensorflow.runtime import tf
from protoattend.network import fast_layers
from protoattend.network.architecture import Architecture
from protoattend.network.prototype_network import Convolution, PrototypeNetwork

pytestmark = pytest.mark.tensorflow

EPSILON, EXACT = 1e-5, 1e-10
SINGLE = 2e-5  # of the largest value; a sum of 6,272 float32 products differs by its order
# Images, height, width, inputs, outputs, stride: even and odd widths, few and many channels, one
# chunk and several.
SHAPES = [
    (8, 28, 28, 1, 16, 1),
    (64, 10, 8, 16, 16, 1),
    (6, 7, 9, 3, 16, 1),
    (48, 7, 7, 5, 32, 1),
    (32, 14, 14, 16, 32, 2),
    (5, 9, 7, 8, 8, 2),
]


def stock(images, kernel, gamma, beta, stride, rectified):
    values = tf.nn.conv2d(images, kernel, strides=[1, stride, stride, 1], padding="SAME")
    mean, variance = tf.nn.moments(values, axes=[0, 1, 2])
    epsilon = fast_layers.LEAST_EPSILON
    outputs = tf.nn.batch_normalization(values, mean, variance, beta, gamma, epsilon)
    count = tf.cast(tf.size(values) // tf.size(mean), values.dtype)
    outputs = tf.nn.relu(outputs) if rectified else outputs
    return outputs, mean, variance * count / (count - 1)


def both(shape, dtype, rectified=True):
    """Outputs, mean, variance and gradients: of the fast layer, and of the stock operations."""
    batch, height, width, inputs, outputs, stride = shape
    random = np.random.RandomState(1)
    sizes = (batch, height, width, inputs), (3, 3, inputs, outputs), (outputs,), (outputs,)
    arrays = [random.standard_normal(size).astype(dtype) for size in sizes]
    with tf.Graph().as_default(), tf.Session() as session:
        given = [tf.constant(array) for array in arrays]
        fast = fast_layers.normalised_convolution(*given, EPSILON, stride, rectified)
        layers = [fast, stock(*given, stride=stride, rectified=rectified)]
        weights = random.standard_normal(layers[1][0].shape.as_list()).astype(dtype)
        sums = [tf.reduce_sum(layer[0] * weights) for layer in layers]
        return session.run(
            [list(layer) + tf.gradients(total, given) for layer, total in zip(layers, sums)]
        )


def distance(found, wanted):
    assert found.shape == wanted.shape
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_moments_and_gradients_are_those_of_the_stock_operations(shape, rectified):
    found, exact = both(shape, np.float64, rectified)
    assert max(map(distance, found, exact)) < EXACT
    if rectified:
        assert max(map(distance, both(shape, np.float32)[0], exact)) < SINGLE


def test_no_gradient_goes_through_the_moments():
    with tf.Graph().as_default():
        images = tf.constant(np.ones((4, 6, 6, 2), np.float32))
        kernel, gamma = tf.ones((3, 3, 2, 3)), tf.ones(3)
        layer = fast_layers.normalised_convolution(images, kernel, gamma, gamma, EPSILON)
        assert tf.gradients([layer.mean, layer.variance], [images, kernel]) == [None, None]


def test_rectifying_is_relu_with_its_gradient():
    with tf.Graph().as_default(), tf.Session() as session:
        values = tf.constant([[-2.0, -0.5, 0.0, 0.5, 3.0]])
        upstream = tf.constant([[1.0, 2.0, 3.0, 4.0, 5.0]])
        found = [
            session.run([output, tf.gradients(output, values, upstream)[0]])
            for output in (fast_layers.rectify(values), tf.nn.relu(values))
        ]
    assert all(np.array_equal(ours, stock) for ours, stock in zip(*found))


def test_fast_layers_have_the_names_of_plain_ones_in_dumps():
    found = []
    for fast in (False, True):
        with tf.Graph().as_default():
            network = PrototypeNetwork(Architecture(), fast)
            with recording(network, left_out=(Convolution,)) as names:
                network.encode(tf.zeros([2, 28, 28, 1]), True)
            found.append(list(names))
    assert found[0] == found[1]
    block = "encoder/stage0_block0"
    parts = ["encoder/entry_norm", block + "/first_norm", block + "/second_norm", block]
    assert found[0][:4] == parts
