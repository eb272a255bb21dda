"""Intervals of means, differences and ratios: each holds the truth as often as it says."""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Tuple

import numpy as np
import pytest

from common.evidence.comparison.curves import compare_window, pace_of
from common.evidence.comparison.statistics import (
    LEAST_SAMPLES,
    Estimate,
    between_evaluations,
    between_seeds,
    difference_of,
    mean_of_series,
)
from tests.noisy_series import first_order_noise, series

RUNS = 400


def held(found: List[Estimate], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in found]))


@pytest.mark.parametrize(
    "coefficient, count",
    [(0.0, 33), (0.3, 50), (0.5, 100), (0.8, 200), (0.95, 1000)],
)
def test_the_interval_of_a_mean_holds_the_truth(coefficient: float, count: int) -> None:
    rows = first_order_noise(coefficient, count, RUNS, seed=2)
    means = [mean_of_series(row).mean for row in rows]
    assert np.mean([mean.is_known for mean in means]) > 0.9
    assert 0.90 <= held(means, 0) <= 0.99


@pytest.mark.parametrize("coefficient, count", [(0.9, 50), (0.95, 150), (0.99, 300)])
def test_a_series_shorter_than_its_memory_has_no_interval(coefficient: float, count: int) -> None:
    means = [
        mean_of_series(row).mean for row in first_order_noise(coefficient, count, RUNS, seed=3)
    ]
    assert np.mean([mean.is_known for mean in means]) < 0.02


def test_too_few_samples_or_a_value_that_is_no_number_leave_no_interval() -> None:
    row = first_order_noise(0.0, 100, 1, seed=6)[0]
    assert math.isinf(mean_of_series(row[: LEAST_SAMPLES - 1]).mean.half_width)
    row[50] = math.inf
    assert not mean_of_series(row).mean.is_known


# --- differences ---


def two_runs(
    count: int, coefficient: float, ratio: float, seed: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Losses (RUNS, count) of two runs on one falling curve with noise of 15 %."""
    falling = 0.002 * np.exp(-np.arange(count) / (5.0 * count))
    noise = first_order_noise(coefficient, count, 2 * RUNS, seed)
    return falling * (1 + 0.15 * noise[:RUNS]), ratio * falling * (1 + 0.15 * noise[RUNS:])


@pytest.mark.parametrize(
    "count, coefficient, ratio",
    [(33, 0.0, 1.0), (50, 0.2, 0.81), (200, 0.6, 1.3), (500, 0.9, 1.0)],
)
def test_the_interval_of_a_relative_difference_holds_the_truth(
    count: int, coefficient: float, ratio: float
) -> None:
    found = [
        compare_window(series(one), series(other)).difference.relative
        for one, other in zip(*two_runs(count, coefficient, ratio, seed=8))
    ]
    # The truth of a ratio of noisy means, not the mean of ratios.
    assert 0.90 <= held(found, ratio - 1) <= 0.99
    assert np.mean([one.is_known for one in found]) > 0.85


def unpaired(generator: np.random.RandomState) -> List[Estimate]:
    return [
        compare_window(series(one), series(other, first=150)).difference.relative.scaled(10)
        for one, other in zip(*two_runs(100, 0.4, 1.1, seed=9))
    ]


def seeds(generator: np.random.RandomState) -> List[Estimate]:
    noise = generator.standard_normal((RUNS, 9))
    return [between_seeds(94 + 0.2 * row[:5], 95 + 0.4 * row[5:]) for row in noise]


def ratios_of_rates(generator: np.random.RandomState) -> List[Estimate]:
    found = []
    noise = 1 + 0.1 * first_order_noise(0.5, 200, 600, seed=20)
    for rows in zip(2 * noise[:300], noise[300:]):
        paces = [pace_of({"elapsed_seconds": series(np.cumsum(row))}) for row in rows]
        found.append(difference_of(*(pace.rate() for pace in paces if pace))[1])
    return found


SIMULATED: Dict[str, Callable[[np.random.RandomState], List[Estimate]]] = {
    "unpaired": unpaired,
    "between seeds": seeds,
    "of rates": ratios_of_rates,
}


@pytest.mark.parametrize("name", SIMULATED)
def test_the_interval_of_a_difference_of_one_holds_the_truth(name: str) -> None:
    assert 0.90 <= held(SIMULATED[name](np.random.RandomState(12)), 1) <= 0.99


@pytest.mark.parametrize("share, count", [(0.95, 1000), (0.5, 200), (0.99, 500)])
def test_the_interval_between_evaluations_holds_the_truth(share: float, count: int) -> None:
    rights = np.random.RandomState(13).binomial(count, share, (RUNS, 2)) / float(count)
    found = [between_evaluations(one, count, other, count) for one, other in rights]
    assert 0.92 <= held(found, 0) <= 0.99
    assert not between_evaluations(0.9, 0, 0.9, count).is_known


def test_noise_and_trend_that_both_runs_share_cancel() -> None:
    shared = np.linspace(2, 1, 100) * (1 + 0.3 * first_order_noise(0.0, 100, 1, seed=10)[0])
    found = compare_window(series(shared), series(1.1 * shared)).difference
    assert found.relative.value == pytest.approx(0.1)
    assert found.relative.half_width < 1e-6


def test_the_noise_is_told_around_the_trend_and_zero_has_no_relative_difference() -> None:
    falling = np.linspace(2, 1, 50)
    found = compare_window(series(falling), series(falling))
    assert found.reference.noise == pytest.approx(0, abs=1e-9)
    zero = compare_window(series(0 * falling), series(falling)).difference
    assert zero.absolute.value == 1.5 and math.isnan(zero.relative.value)


def test_the_interval_between_seeds_is_welchs() -> None:
    # Worked by hand: variances 0.1 and 0.4 over 3 runs each, 2.94 degrees of freedom, rounded down.
    spread = math.sqrt(0.1), math.sqrt(0.4)
    found = between_seeds([1 - spread[0], 1, 1 + spread[0]], [2 - spread[1], 2, 2 + spread[1]])
    assert found.value == pytest.approx(1)
    assert found.half_width == pytest.approx(4.3027 * math.sqrt(0.5 / 3), rel=1e-4)
    for sides in (([0.9, 0.91], [0.9]), ([0.9, 0.91], []), ([0.9, 0.9], [0.8, 0.8])):
        assert not between_seeds(*sides).is_known  # one seed, or no spread
