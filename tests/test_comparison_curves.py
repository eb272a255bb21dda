"""Curves of runs compared: windows, speed, targets."""

from __future__ import annotations

from typing import Any, Dict, Optional

import numpy as np
import pytest

from common.evidence.comparison.curves import (
    compare_end,
    compare_speed,
    pace_of,
    sample_at,
    seconds_at,
    time_to_target,
    window,
)
from common.evidence.comparison.runs import Group, Run
from common.evidence.logs.series import Series
from tests.noisy_series import series

GAPPED = np.concatenate([np.arange(100, 1001, 100), np.arange(9100, 10001, 100)])
GAPPED_LOSS = Series("loss", GAPPED, np.arange(20.0))


def test_the_last_window_ends_with_the_steps_of_both() -> None:
    for counts, places in (((330, 400), (28100, 33000)), ((7, 9), (100, 700))):
        found = compare_end(*(series(np.ones(count)) for count in counts), 50)
        assert found is not None and (found.first_step, found.last_step) == places
    assert compare_end(series(np.ones(7)), series(np.ones(7), first=5000), 50) is None


def test_a_window_stops_at_a_gap_and_the_sample_at_a_step_is_the_nearest_one() -> None:
    for end, chosen in ((750, [500, 600, 700]), (9150, [9100]), (50, [])):
        assert window(GAPPED_LOSS, end, 3).steps.tolist() == chosen
    for asked, found in ((300, 300), (340, 300), (1050, 1000), (5000, None)):
        sample = sample_at(GAPPED_LOSS, asked)
        assert (None if sample is None else sample.step) == found


# --- speed ---


def elapsed(values: Any) -> Dict[str, Series]:
    return {"elapsed_seconds": series(np.asarray(values, float), name="elapsed_seconds")}


@pytest.mark.parametrize(
    "found, rate, unit",
    [
        # 100 steps in 1 s, then 100 in 3 s: 50 steps/s, not the mean of 100 and 33.
        (elapsed([10, 11, 14]), 50, "steps"),
        (elapsed([500, 501, 502]), 100, "steps"),  # before the first line is warm-up
        (elapsed([1, 2, 3, 1, 2]), 100, "steps"),  # the pause of a restart
        ({"fps": series([100.0, 300.0, 0.0, np.nan], name="fps")}, 150, "samples"),
        ({"step_seconds": series([9.0] * 10 + [0.5] * 90, every=1)}, 2, "steps"),
    ],
)
def test_a_rate_is_all_steps_over_all_seconds_after_the_warm_up(
    found: Any, rate: float, unit: str
) -> None:
    pace = pace_of(found)
    assert pace is not None and pace.unit == unit
    assert pace.rate().value == pytest.approx(rate)


def test_a_missing_part_counts_in_the_rate_and_not_in_its_spread() -> None:
    steps = np.concatenate([np.arange(100, 4001, 100), np.arange(900000, 904001, 100)])
    clock = np.concatenate([np.arange(40.0), 8960 + np.arange(41.0)])
    pace = pace_of({"elapsed_seconds": Series("elapsed_seconds", steps, clock)})
    assert pace is not None and pace.rate().value == pytest.approx(903900 / 9000)
    assert pace.rate().half_width == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "batches, given, ratio, unit",
    [
        ((32, 64), None, 2, "samples"),
        ((None, 64), 64, 1, "samples"),
        ((None, None), None, 1, "steps"),
        ((None, 64), None, None, ""),  # steps and samples are not compared
    ],
)
def test_steps_become_samples_by_the_batch_that_is_known(
    batches: Any, given: Optional[int], ratio: Optional[float], unit: str
) -> None:
    clock = elapsed(np.arange(60.0))
    runs = [Run("x", clock, global_batch=batch) for batch in batches]
    found = compare_speed(Group("gpu", (runs[0],)), Group("npu", (runs[1],)), given)
    assert found is not None and (found.unit, bool(found.doubts)) == (unit, ratio is None)
    assert ratio is None or found.ratio.value == pytest.approx(ratio)
    assert compare_speed(Group("gpu", (Run("x", {}),)), Group("npu", (runs[1],)), 1) is None


# --- targets ---


@pytest.mark.parametrize(
    "values, target, higher, samples, step",
    [
        ([5, 1, 5, 5, 2, 2, 2, 2], 2, False, 3, 700),  # not one lucky value
        ([3, 2, 3], 1, False, 1, None),
        ([3, 7], 5, True, 1, 200),
        ([1, np.nan, 1, 1, 1], 1, False, 2, 400),  # a nan spoils no later mean
    ],
)
def test_a_target_is_reached_when_the_mean_of_some_samples_is_there(
    values: list, target: float, higher: bool, samples: int, step: Optional[int]
) -> None:
    found = time_to_target({"loss": series(values)}, "loss", target, higher, samples)
    assert (None if found is None else found.step) == step


def test_the_clock_goes_on_after_a_restart_and_timed_steps_add_up() -> None:
    assert seconds_at(elapsed([1, 2, 3, 1, 2]), 500) == 5
    assert seconds_at({"step_seconds": series([0.5, 0.5, 2], every=1)}, 2) == 1
