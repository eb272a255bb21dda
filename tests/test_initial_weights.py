"""First weights: Keras's distributions, a function of seed and name."""

from __future__ import annotations

import numpy as np
import pytest

from common.training.tensorflow.initial_weights import HE_NORMAL, initial_value

pytestmark = pytest.mark.tensorflow


def test_the_same_seed_and_name_give_the_same_values():
    one, other = (initial_value("mlp/kernel", (8, 4), 3) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("path, seed", [("mlp/kernel", 4), ("encoder/kernel", 3)])
def test_another_seed_or_name_gives_other_values(path, seed):
    assert not np.array_equal(
        initial_value("mlp/kernel", (8, 4), 3), initial_value(path, (8, 4), seed)
    )


@pytest.mark.parametrize(
    "shape, fans",
    [
        ((64, 128), 192),
        ((5, 5, 3, 64), 25 * 67),
        ((3, 3, 4, 64), 9 * 68),
        ((1, 1, 64), 65),
        ((1, 7, 64), 71),
    ],
)
def test_kernels_and_slots_fill_the_glorot_range(shape, fans):
    limit = np.sqrt(6.0 / fans)
    values = initial_value("a/kernel", shape, 0)
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.9 * limit
    assert abs(values.mean()) < 0.3 * limit


@pytest.mark.parametrize("shape", [(3, 3, 1, 16), (3, 3, 16, 32), (1, 1, 32, 64), (3, 3, 64, 64)])
def test_convolutions_may_be_he_normal_cut_off_at_two_deviations(shape):
    expected = np.sqrt(2.0 / np.prod(shape[:3]))
    values = initial_value("a/kernel", shape, 0, HE_NORMAL)
    assert values.dtype == np.float32
    assert abs(values.std() / expected - 1) < 0.1
    assert np.abs(values).max() <= 2 * expected / 0.8796 < 1.2 * np.abs(values).max()
    assert np.abs(values).max() > 1.2 * initial_value("a/kernel", shape, 0).max()


def test_he_normal_is_for_convolutions_alone():
    assert np.array_equal(
        initial_value("mlp/kernel", (8, 4), 3, HE_NORMAL), initial_value("mlp/kernel", (8, 4), 3)
    )


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (8, 8)])
def test_recurrent_kernels_are_orthogonal(shape):
    value = initial_value("gru/recurrent_kernel", shape, 0).astype(np.float64)
    product = value @ value.T if shape[0] <= shape[1] else value.T @ value
    assert np.abs(product - np.eye(min(shape))).max() < 1e-6


@pytest.mark.parametrize(
    "name, value",
    [("bias", 0), ("beta", 0), ("moving_mean", 0), ("gamma", 1), ("moving_variance", 1)],
)
def test_offsets_and_means_are_zero_scales_and_variances_one(name, value):
    assert np.array_equal(initial_value("norm/" + name, (2, 5), 0), np.full((2, 5), value))
