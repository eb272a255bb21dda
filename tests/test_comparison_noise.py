"""Means of correlated values: the interval holds the truth as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from common.evidence.comparison.statistics import (
    LEAST_SAMPLES,
    autocorrelation_time,
    autocorrelations,
    mean_of_series,
    two_sided_quantile,
)
from tests.noisy_series import first_order_noise

RUNS = 400


@pytest.mark.parametrize(
    ("degrees", "table"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (10, 2.2281),
        (29, 2.0452),
        (60, 2.0003),
        (120, 1.9799),
    ],
)
def test_students_t_is_that_of_the_printed_tables(degrees: int, table: float) -> None:
    assert two_sided_quantile(0.95, degrees) == pytest.approx(table, abs=5e-5)


def test_autocorrelations_are_those_of_the_definition() -> None:
    values = first_order_noise(0.5, 64, 1, seed=0)[0]
    centred = values - values.mean()
    direct = [
        float((centred[lag:] * centred[: 64 - lag]).sum() / (centred**2).sum()) for lag in range(64)
    ]
    np.testing.assert_allclose(autocorrelations(values), direct, atol=1e-12)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_of_a_long_series_is_the_true_one(coefficient: float) -> None:
    found = [autocorrelation_time(row) for row in first_order_noise(coefficient, 20000, 10, seed=1)]
    truth = (1 + coefficient) / (1 - coefficient)
    assert np.median(found) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize(
    ("coefficient", "count"),
    [(0.0, 33), (0.0, 50), (0.3, 50), (0.5, 100), (0.8, 200), (0.9, 500), (0.95, 1000)],
)
def test_the_interval_holds_the_truth_in_95_of_100_cases(coefficient: float, count: int) -> None:
    means = [
        mean_of_series(row).mean for row in first_order_noise(coefficient, count, RUNS, seed=2)
    ]
    assert np.mean([mean.is_known for mean in means]) > 0.9
    assert 0.90 <= np.mean([mean.low <= 0 <= mean.high for mean in means]) <= 0.99


@pytest.mark.parametrize(
    ("coefficient", "count"), [(0.9, 50), (0.9, 100), (0.95, 100), (0.95, 150), (0.99, 300)]
)
def test_a_series_shorter_than_its_memory_has_no_interval(coefficient: float, count: int) -> None:
    means = [
        mean_of_series(row).mean for row in first_order_noise(coefficient, count, RUNS, seed=3)
    ]
    assert np.mean([mean.is_known for mean in means]) < 0.02
    assert np.mean([mean.low <= 0 <= mean.high for mean in means]) >= 0.98


def test_an_interval_that_took_samples_as_independent_would_miss_the_truth() -> None:
    rows = first_order_noise(0.9, 500, RUNS, seed=4)
    naive = 1.96 * rows.std(axis=1) / np.sqrt(rows.shape[1])
    assert np.mean(np.abs(rows.mean(axis=1)) <= naive) < 0.5


def test_too_few_samples_have_no_interval() -> None:
    row = first_order_noise(0.0, LEAST_SAMPLES - 1, 1, seed=5)[0]
    assert math.isinf(mean_of_series(row).mean.half_width)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_no_number_leaves_no_interval(bad: float) -> None:
    row = first_order_noise(0.0, 100, 1, seed=6)[0]
    row[50] = bad
    assert not mean_of_series(row).mean.is_known


def test_the_noise_is_that_of_one_sample() -> None:
    found = [mean_of_series(row).noise for row in first_order_noise(0.8, 400, 50, seed=7)]
    assert np.mean(found) == pytest.approx(1, abs=0.05)


def test_equal_values_have_no_noise_and_no_memory() -> None:
    found = mean_of_series(np.full(40, 0.1))
    assert found.autocorrelation_time == 1
    assert found.mean.half_width == pytest.approx(0, abs=1e-15)
