"""The fast layers give what the stock operations give, and the same gradients."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from common.training.tensorflow.runtime import tf  # noqa: E402
from protoattend.network import fast_convolution, fast_layers  # noqa: E402

pytestmark = pytest.mark.tensorflow

EPSILON = 1e-5
EXACT = 1e-10
# Of the largest value; a sum of 6,272 float32 products differs by its order.
SINGLE = 2e-5
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
    outputs = tf.nn.batch_normalization(
        values, mean, variance, beta, gamma, fast_layers.LEAST_EPSILON
    )
    count = tf.cast(tf.size(values) // tf.size(mean), values.dtype)
    outputs = tf.nn.relu(outputs) if rectified else outputs
    return fast_layers.Layer(outputs, mean, variance * count / (count - 1))


def both(shape, dtype, rectified=True):
    """Outputs, mean, variance and gradients: of the fast layer, and of the stock operations."""
    batch, height, width, inputs, outputs, stride = shape
    random = np.random.RandomState(1)
    arrays = [
        random.standard_normal(size).astype(dtype)
        for size in (
            (batch, height, width, inputs),
            (3, 3, inputs, outputs),
            (outputs,),
            (outputs,),
        )
    ]
    with tf.Graph().as_default(), tf.Session() as session:
        given = [tf.constant(array) for array in arrays]
        layers = [
            fast_layers.normalised_convolution(
                *given, epsilon=EPSILON, stride=stride, rectified=rectified
            ),
            stock(*given, stride=stride, rectified=rectified),
        ]
        weights = random.standard_normal(layers[1].outputs.shape.as_list()).astype(dtype)
        return session.run(
            [
                list(layer) + tf.gradients(tf.reduce_sum(layer.outputs * weights), given)
                for layer in layers
            ]
        )


def distance(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_moments_and_gradients_are_those_of_the_stock_operations(shape):
    for found, wanted in zip(*both(shape, np.float64)):
        assert found.shape == wanted.shape and distance(found, wanted) < EXACT


def test_without_relu_too():
    for found, wanted in zip(*both(SHAPES[1], np.float64, rectified=False)):
        assert distance(found, wanted) < EXACT


@pytest.mark.parametrize("shape", SHAPES)
def test_single_precision_is_off_by_rounding_alone(shape):
    exact = both(shape, np.float64)[1]
    for found, wanted in zip(both(shape, np.float32)[0], exact):
        assert found.dtype == np.float32 and distance(found, wanted) < SINGLE


def test_no_gradient_goes_through_the_moments():
    with tf.Graph().as_default():
        images = tf.constant(np.ones((4, 6, 6, 2), np.float32))
        kernel, gamma = tf.ones((3, 3, 2, 3)), tf.ones(3)
        layer = fast_layers.normalised_convolution(images, kernel, gamma, gamma, EPSILON)
        assert tf.gradients([layer.mean, layer.variance], [images, kernel]) == [None, None]


def test_a_kernel_gradient_in_chunks_needs_batches_that_divide():
    # 1,024 and 128 images are taken 32 at a time, 48 by 24; 7 and 31 at once, and 20 too.
    sizes = {images: fast_convolution.chunk_size(images) for images in (1024, 128, 48, 7, 31, 20)}
    assert sizes == {1024: 32, 128: 32, 48: 24, 7: None, 31: None, 20: None}


def test_a_batch_of_unknown_size_is_taken_at_once():
    assert fast_convolution.chunk_size(None) is None


def test_rectifying_is_relu_with_its_gradient():
    with tf.Graph().as_default(), tf.Session() as session:
        values = tf.constant([[-2.0, -0.5, 0.0, 0.5, 3.0]])
        upstream = tf.constant([[1.0, 2.0, 3.0, 4.0, 5.0]])
        found = [
            session.run([output, tf.gradients(output, values, upstream)[0]])
            for output in (fast_layers.rectify(values), tf.nn.relu(values))
        ]
    assert all(np.array_equal(ours, stock) for ours, stock in zip(*found))
