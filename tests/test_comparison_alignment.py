"""Two curves at the same steps, and the windows on them."""

from __future__ import annotations

import numpy as np
import pytest

from common.evidence.comparison.curves import (
    aligned,
    neighbours,
    sample_at,
    summary_curve,
    window,
    windows,
    without_trend,
)
from common.evidence.logs.series import Series
from tests.noisy_series import series

GAPPED = np.concatenate([np.arange(100, 1001, 100), np.arange(9100, 10001, 100)])


def test_only_steps_of_both_are_compared() -> None:
    pair = aligned(series([1, 2, 3, 4], every=10), series([5, 6], every=20))
    assert pair.steps.tolist() == [20, 40]
    assert pair.reference.tolist() == [2, 4]
    assert pair.candidate.tolist() == [5, 6]


def test_runs_without_a_common_step_have_an_empty_pair() -> None:
    assert len(aligned(series([1, 2], first=1), series([1, 2], first=50)).steps) == 0


def test_a_window_holds_the_samples_up_to_its_end() -> None:
    assert window(np.arange(10, 110, 10), end=75, length=3) == slice(4, 7)


def test_a_window_does_not_reach_across_a_missing_part() -> None:
    chosen = GAPPED[window(GAPPED, end=9300, length=8)]
    assert chosen.tolist() == [9100, 9200, 9300]


def test_windows_share_no_sample_and_the_last_one_ends_the_curve() -> None:
    steps = np.arange(100, 100 * 331, 100)
    parts = windows(steps, length=50, most=5)
    assert len(parts) == 5
    assert all(one.stop <= other.start for one, other in zip(parts, parts[1:]))
    assert parts[-1].stop == len(steps)


def test_a_curve_shorter_than_a_window_has_one() -> None:
    assert windows(np.arange(7), length=50, most=5) == [slice(0, 7)]


def test_an_empty_curve_has_no_window() -> None:
    assert windows(np.arange(0), length=50, most=5) == []


@pytest.mark.parametrize(("asked", "found"), [(300, 300), (340, 300), (1050, 1000)])
def test_the_sample_at_a_step_is_the_nearest_one(asked: int, found: int) -> None:
    sample = sample_at(series(range(1, 11)), asked)
    assert sample is not None
    assert (sample.asked, sample.step, sample.value) == (asked, found, found / 100)


def test_a_step_where_nothing_was_logged_has_no_sample() -> None:
    assert sample_at(Series("loss", GAPPED, np.ones(20)), 5000) is None


def test_neighbours_lie_on_both_sides_of_a_step() -> None:
    chosen = neighbours(series(range(100)), 5000, length=9)
    assert np.arange(100, 10001, 100)[chosen].tolist() == list(range(4600, 5401, 100))


@pytest.mark.parametrize(
    ("step", "first", "last"), [(100, 100, 900), (10000, 9200, 10000), (9100, 9100, 9900)]
)
def test_neighbours_of_an_edge_lie_on_its_side(step: int, first: int, last: int) -> None:
    chosen = GAPPED[neighbours(Series("loss", GAPPED, np.ones(20)), step, length=9)]
    assert (chosen[0], chosen[-1]) == (first, last)


def test_without_its_trend_a_line_is_flat() -> None:
    steps = np.arange(5, 50, 5)
    np.testing.assert_allclose(without_trend(steps, 3.0 - 0.1 * steps), np.full(9, 0.5), atol=1e-12)


def test_a_summary_keeps_a_curves_mean_and_breaks_at_gaps() -> None:
    curve = summary_curve(Series("loss", GAPPED, np.arange(20.0)), most=10)
    assert np.isnan(curve.means).sum() == 1
    assert np.nanmean(curve.means) == pytest.approx(9.5)
    assert curve.steps.min() >= 100


def test_a_summary_of_nothing_but_nan_is_nan() -> None:
    assert np.isnan(summary_curve(series([np.nan] * 30), most=3).means).all()
