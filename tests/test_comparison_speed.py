"""Throughput as total over total, and the time until a target."""

from __future__ import annotations

import numpy as np
import pytest

from common.evidence.comparison.curves import seconds_at, time_to_target, trailing_means
from common.evidence.comparison.runs import Group, Run
from common.evidence.comparison.speed import compare_speed, pace_of, rate_of, ratio_of
from common.evidence.logs.series import Series
from tests.noisy_series import first_order_noise, series


def elapsed(values) -> dict:
    return {"elapsed_seconds": series(np.asarray(values, float), name="elapsed_seconds")}


def test_a_rate_is_all_steps_over_all_seconds() -> None:
    # 100 steps in 1 s, then 100 in 3 s: 50 steps/s, not the mean of 100 and 33.
    pace = pace_of(elapsed([10, 11, 14]))
    assert pace is not None
    assert rate_of(pace).value == pytest.approx(50)


def test_fps_lines_are_averaged_over_time() -> None:
    pace = pace_of({"fps": series([100.0, 300.0], name="fps")})
    assert pace is not None
    assert (rate_of(pace).value, pace.unit) == (pytest.approx(150), "samples")


def test_the_warm_up_of_timed_steps_is_left_out() -> None:
    seconds = np.concatenate([np.full(10, 9.0), np.full(90, 0.5)])
    pace = pace_of({"step_seconds": series(seconds, every=1, name="step_seconds")})
    assert pace is not None
    assert rate_of(pace).value == pytest.approx(2)


def test_what_came_before_the_first_line_is_warm_up() -> None:
    pace = pace_of(elapsed([500, 501, 502]))
    assert pace is not None
    assert rate_of(pace).value == pytest.approx(100)


def test_the_pause_of_a_restart_is_not_counted() -> None:
    pace = pace_of(elapsed([1, 2, 3, 1, 2]))
    assert pace is not None
    assert rate_of(pace).value == pytest.approx(100)


def test_a_missing_part_counts_in_the_rate_and_not_in_its_spread() -> None:
    steps = np.concatenate([np.arange(100, 4001, 100), np.arange(900000, 904001, 100)])
    clock = np.concatenate([np.arange(40.0), 8960 + np.arange(41.0)])
    pace = pace_of({"elapsed_seconds": Series("elapsed_seconds", steps, clock)})
    assert pace is not None
    rate = rate_of(pace)
    assert rate.value == pytest.approx(903900 / 9000)
    assert rate.half_width == pytest.approx(0, abs=1e-6)


def test_the_interval_of_a_ratio_holds_the_truth() -> None:
    noise = 1 + 0.1 * first_order_noise(0.5, 200, 600, seed=20)
    held = []
    for one, other in zip(noise[:300], noise[300:]):
        rates = []
        for row, scale in ((one, 3.0), (other, 1.0)):
            pace = pace_of(elapsed(np.cumsum(scale * row)))
            assert pace is not None
            rates.append(rate_of(pace))
        ratio = ratio_of(*rates)
        held.append(ratio.low <= 3 <= ratio.high)
    assert 0.90 <= np.mean(held) <= 0.99


def group(label: str, **fields) -> Group:
    return Group(label, (Run(label, **fields),))


def test_other_batches_are_compared_in_samples() -> None:
    clock = elapsed(np.arange(60.0))
    found = compare_speed(
        group("gpu", series=clock, global_batch=32),
        group("npu", series=clock, global_batch=64),
        None,
    )
    assert found is not None
    assert (found.ratio.value, found.unit) == (pytest.approx(2), "samples")


def test_steps_and_samples_are_not_compared() -> None:
    clock = elapsed(np.arange(60.0))
    found = compare_speed(
        group("gpu", series=clock), group("npu", series=clock, global_batch=64), None
    )
    assert found is not None
    assert found.doubts
    assert not found.ratio.is_known


def test_the_batch_of_a_log_can_be_given() -> None:
    clock = elapsed(np.arange(60.0))
    found = compare_speed(
        group("gpu", series=clock), group("npu", series=clock, global_batch=64), 64
    )
    assert found is not None
    assert found.ratio.value == pytest.approx(1)


def test_runs_without_times_have_no_speed() -> None:
    assert compare_speed(group("gpu", series={}), group("npu", series=elapsed([1, 2])), 1) is None


def test_a_target_is_reached_when_the_mean_is_there_not_one_lucky_value() -> None:
    values = [5, 1, 5, 5, 2, 2, 2, 2]
    found = time_to_target(dict(elapsed(np.arange(8.0)), loss=series(values)), "loss", 2, False, 3)
    assert found is not None
    assert (found.step, found.seconds) == (700, 6.0)


def test_a_target_that_is_never_reached_is_none() -> None:
    assert time_to_target({"loss": series([3, 2, 3])}, "loss", 1, False, 1) is None


def test_a_higher_target_is_reached_from_below() -> None:
    found = time_to_target({"accuracy": series([3, 7])}, "accuracy", 5, True, 1)
    assert found is not None
    assert (found.step, found.seconds) == (200, None)


def test_a_mean_does_not_reach_across_a_missing_part() -> None:
    means = trailing_means(np.array([1, 2, 3, 1000, 1001]), np.array([1.0, 1, 4, 10, 20]), 2)
    np.testing.assert_array_equal(means, [np.nan, 1, 2.5, np.nan, 15])


def test_one_nan_spoils_no_later_mean() -> None:
    means = trailing_means(np.arange(5), np.array([1.0, np.nan, 1, 1, 1]), 2)
    np.testing.assert_array_equal(means, [np.nan, np.nan, np.nan, 1, 1])


def test_the_clock_of_a_restart_goes_on() -> None:
    assert seconds_at(elapsed([1, 2, 3, 1, 2]), 500) == 5


def test_timed_steps_add_up() -> None:
    timed = {"step_seconds": series([0.5, 0.5, 2], every=1, name="step_seconds")}
    assert seconds_at(timed, 2) == 1
