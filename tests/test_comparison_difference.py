"""Differences between runs, and how sure one may be of them."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
import pytest

from common.evidence.comparison.curves import AlignedPair
from common.evidence.comparison.difference import (
    compare_unpaired,
    compare_window,
    of_one_sample,
    single_sample,
)
from common.evidence.comparison.statistics import (
    between_evaluations,
    between_seeds,
    mean_of_series,
)
from tests.noisy_series import first_order_noise, series

RUNS = 400


def two_runs(
    count: int, coefficient: float, ratio: float, seed: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Losses (RUNS, count) of two runs on one falling curve with noise of 15 %."""
    falling = 0.002 * np.exp(-np.arange(count) / (5.0 * count))
    noise = first_order_noise(coefficient, count, 2 * RUNS, seed)
    return falling * (1 + 0.15 * noise[:RUNS]), ratio * falling * (1 + 0.15 * noise[RUNS:])


@pytest.mark.parametrize(
    ("count", "coefficient", "ratio"),
    [(33, 0.0, 1.0), (50, 0.2, 0.81), (200, 0.6, 1.3), (500, 0.9, 1.0)],
)
def test_the_interval_of_the_relative_difference_holds_the_truth(
    count: int, coefficient: float, ratio: float
) -> None:
    steps = np.arange(count)
    found = [
        compare_window(AlignedPair(steps, one, other)).difference
        for one, other in zip(*two_runs(count, coefficient, ratio, seed=8))
    ]
    # The truth of a ratio of noisy means, not the mean of ratios.
    held = [part.relative.low <= ratio - 1 <= part.relative.high for part in found]
    assert 0.90 <= np.mean(held) <= 0.99
    assert np.mean([part.relative.is_known for part in found]) > 0.85


def test_the_interval_of_the_unpaired_difference_holds_the_truth() -> None:
    found = [
        compare_unpaired(series(one), series(other, first=150)).difference.relative
        for one, other in zip(*two_runs(100, 0.4, 1.1, seed=9))
    ]
    assert 0.90 <= np.mean([part.low <= 0.1 <= part.high for part in found]) <= 0.99


def test_noise_and_trend_that_both_runs_share_cancel() -> None:
    shared = np.linspace(2, 1, 100) * (1 + 0.3 * first_order_noise(0.0, 100, 1, seed=10)[0])
    found = compare_window(AlignedPair(np.arange(100), shared, 1.1 * shared)).difference
    assert found.relative.value == pytest.approx(0.1)
    assert found.relative.half_width < 1e-6


def test_the_noise_is_told_around_the_trend() -> None:
    falling = np.linspace(2, 1, 50)
    found = compare_window(AlignedPair(np.arange(50), falling, falling))
    assert found.reference.noise == pytest.approx(0, abs=1e-9)
    assert found.reference.mean.value == pytest.approx(1.5)


def test_a_reference_of_zero_has_no_relative_difference() -> None:
    found = compare_window(AlignedPair(np.arange(40), np.zeros(40), np.ones(40))).difference
    assert found.absolute.value == 1
    assert math.isnan(found.relative.value)


def test_one_sample_of_equal_runs_lies_in_its_interval() -> None:
    held = []
    for one, other in zip(*two_runs(50, 0.0, 1.0, seed=11)):
        one, other = one - one.mean() + 1, other - other.mean() + 1
        found = of_one_sample(
            single_sample(one[25], mean_of_series(one)),
            single_sample(other[25], mean_of_series(other)),
        )
        held.append(found.absolute.low <= 0 <= found.absolute.high)
    assert np.mean(held) >= 0.95


def test_one_sample_without_neighbours_proves_nothing() -> None:
    assert math.isinf(single_sample(0.5, mean_of_series(np.array([0.5, 0.6]))).half_width)


def test_the_interval_between_seeds_is_welchs() -> None:
    # Worked by hand: variances 0.1 and 0.4 over 3 runs each, 2.94 degrees of freedom, rounded down.
    spread = math.sqrt(0.1), math.sqrt(0.4)
    found = between_seeds([1 - spread[0], 1, 1 + spread[0]], [2 - spread[1], 2, 2 + spread[1]])
    assert found.value == pytest.approx(1)
    assert found.half_width == pytest.approx(4.3027 * math.sqrt(0.5 / 3), rel=1e-4)


def test_the_interval_between_seeds_holds_the_truth() -> None:
    generator = np.random.RandomState(12)
    held = []
    for _ in range(RUNS):
        found = between_seeds(
            94 + 0.2 * generator.standard_normal(5), 93.8 + 0.4 * generator.standard_normal(4)
        )
        held.append(found.low <= -0.2 <= found.high)
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("values", [[0.9], []])
def test_one_seed_says_nothing_of_others(values: list) -> None:
    assert not between_seeds([0.9, 0.91], values).is_known


def test_seeds_without_any_spread_have_no_interval() -> None:
    assert not between_seeds([0.9, 0.9], [0.8, 0.8]).is_known


@pytest.mark.parametrize(("share", "count"), [(0.95, 1000), (0.5, 200), (0.99, 500)])
def test_the_interval_between_evaluations_holds_the_truth(share: float, count: int) -> None:
    generator = np.random.RandomState(13)
    rights = generator.binomial(count, share, (RUNS, 2)) / float(count)
    found = [between_evaluations(one, count, other, count) for one, other in rights]
    assert 0.92 <= np.mean([part.low <= 0 <= part.high for part in found]) <= 0.99


def test_values_between_right_and_wrong_vary_less_than_the_interval_says() -> None:
    scores = np.random.RandomState(14).beta(8, 2, (RUNS, 2, 300)).mean(axis=2)
    found = [between_evaluations(one, 300, other, 300) for one, other in scores]
    assert np.mean([part.low <= 0 <= part.high for part in found]) >= 0.95


def test_a_test_set_of_unknown_size_leaves_no_interval() -> None:
    assert not between_evaluations(0.9, 0, 0.9, 10000).is_known
