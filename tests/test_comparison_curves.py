"""Curves of runs compared: windows, speed, targets, and every number of some whole comparisons."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import pytest

from common.evidence.comparison.compared import compare
from common.evidence.comparison.curves import (
    compare_speed,
    compare_windows,
    pace_of,
    sample_at,
    seconds_at,
    summary_curve,
    time_to_target,
    window,
)
from common.evidence.comparison.presentation import as_json
from common.evidence.comparison.runs import Group, Judged, Run, Settings
from common.evidence.logs.series import Series
from tests.noisy_series import first_order_noise, series

GAPPED = np.concatenate([np.arange(100, 1001, 100), np.arange(9100, 10001, 100)])
GAPPED_LOSS = Series("loss", GAPPED, np.arange(20.0))


def test_windows_share_no_sample_and_the_last_one_ends_the_curve() -> None:
    found = compare_windows(series(np.ones(330)), series(np.ones(400)), 50)
    assert len(found) == 5 and found[-1].last_step == 33000
    assert all(one.last_step < other.first_step for one, other in zip(found, found[1:]))
    assert [one.difference.samples for one in found] == [50] * 5
    (short,) = compare_windows(series(np.ones(7)), series(np.ones(9)), 50)
    assert (short.first_step, short.last_step) == (100, 700)
    assert compare_windows(series(np.ones(7)), series(np.ones(7), first=5000), 50) == []


@pytest.mark.parametrize("end, chosen", [(750, [500, 600, 700]), (9150, [9100]), (50, [])])
def test_a_window_holds_the_samples_up_to_its_end_and_none_before_a_gap(
    end: int, chosen: list
) -> None:
    assert window(GAPPED_LOSS, end, 3).steps.tolist() == chosen


@pytest.mark.parametrize("asked, found", [(300, 300), (340, 300), (1050, 1000), (5000, None)])
def test_the_sample_at_a_step_is_the_nearest_one_that_was_logged(
    asked: int, found: Optional[int]
) -> None:
    sample = sample_at(GAPPED_LOSS, asked)
    assert (None if sample is None else sample.step) == found


def test_a_summary_keeps_a_curves_mean_and_breaks_at_gaps() -> None:
    curve = summary_curve(GAPPED_LOSS, most=10)
    assert np.isnan(curve.means).sum() == 1 and curve.steps.min() >= 100
    assert np.nanmean(curve.means) == pytest.approx(9.5)
    assert np.isnan(summary_curve(series([np.nan] * 30), most=3).means).all()


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


# --- Comparisons of series with known noise: every number stays what it was ---


GOLDEN = Path(__file__).resolve().parent / "golden" / "comparisons.json"
ACCURACY, LOSS = Judged("accuracy", True, 0.01), Judged("loss", False, 0.05, is_curve=True)


def run(
    coefficient: float,
    count: int,
    seed: int,
    ratio: float = 1.0,
    first: int = 100,
    accuracy: Optional[float] = None,
) -> Run:
    """A falling loss with AR(1) noise, a clock, and a final accuracy over 10,000 images."""
    steps = first + 100 * np.arange(count, dtype=np.int64)
    noise = first_order_noise(coefficient, count, 1, seed)[0]
    values = ratio * 0.002 * np.exp(-np.arange(count) / (5.0 * count)) * (1 + 0.15 * noise)
    clock = np.cumsum(0.8 + 0.05 * np.abs(first_order_noise(0, count, 1, seed + 77)[0]))
    series = {
        "loss": Series("loss", steps, values),
        "elapsed_seconds": Series("elapsed_seconds", steps, clock),
    }
    if accuracy is None:
        return Run("a.log", series, global_batch=64)
    points = np.array([accuracy - 0.02, accuracy + 0.003, accuracy])
    series["validation_accuracy"] = Series("validation_accuracy", steps[-3:], points)
    return Run("a.log", series, final={"accuracy": accuracy}, n_eval=10000, global_batch=64)


def of_seeds(first: int, count: int, **named: Any) -> Tuple[Run, ...]:
    return tuple(run(0.2, 300, first + number, **named) for number in range(count))


CASES: Dict[str, Tuple[Tuple[Run, ...], Tuple[Run, ...], Settings]] = {
    "equal": (
        (run(0.3, 300, 1, accuracy=0.91),),
        (run(0.3, 300, 1, accuracy=0.91),),
        Settings(ACCURACY, at_step=15000, target=0.0018),
    ),
    "shifted": (
        (run(0.3, 300, 1, accuracy=0.91),),
        (run(0.3, 300, 2, ratio=1.3, accuracy=0.85),),
        Settings(ACCURACY, at_step=29999),
    ),
    "strongly autocorrelated": (
        (run(0.9, 3000, 3, accuracy=0.91),),
        (run(0.9, 3000, 4, accuracy=0.93),),
        Settings(ACCURACY, window=1000),
    ),
    "short": ((run(0.2, 20, 5),), (run(0.2, 20, 6),), Settings(LOSS, at_step=1000)),
    "other steps": (
        (run(0.2, 400, 7, accuracy=0.5),),
        (run(0.2, 400, 8, first=150, accuracy=0.52),),
        Settings(ACCURACY, at_step=20000),
    ),
    "several seeds": (of_seeds(10, 3), of_seeds(20, 4, ratio=1.01), Settings(LOSS)),
    "a better loss": ((run(0.1, 500, 31),), (run(0.1, 500, 32, 0.8),), Settings(LOSS, window=200)),
    "percent": (
        (run(0.1, 500, 31, accuracy=95.0),),
        (run(0.1, 500, 32, accuracy=94.0),),
        Settings(Judged("accuracy", True, 0.5, unit="percent")),
    ),
}
KEYS = ("at_step", "end", "windows", "between_seeds", "final", "best_on_validation")
KEYS += ("throughput", "target", "common_steps")


def told(name: str) -> Dict[str, Any]:
    """The numbers and verdicts of a case."""
    reference, candidate, settings = CASES[name]
    compared = compare(Group("a", reference), Group("b", candidate), settings)
    content = json.loads(json.dumps(as_json(compared), allow_nan=False))
    found = {key: content[key] for key in KEYS}
    found["windows"] = len(content["windows"])
    for status in ("PrecisionStatus", "PerfStatus"):
        found[status] = content[status]["status"]
    return found


def numbers(content: Any, place: str = "") -> Iterator[Tuple[str, Any]]:
    """Every number, text and null of a content, by its place."""
    if isinstance(content, (dict, list)):
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        for key, part in pairs:
            yield from numbers(part, f"{place}.{key}")
    else:
        yield place, content


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_number_is_what_it_was(name: str) -> None:
    expected = dict(numbers(json.loads(GOLDEN.read_text(encoding="utf-8"))[name]))
    found = dict(numbers(told(name)))
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        if isinstance(value, float):
            assert math.isclose(found[place], value, rel_tol=1e-9, abs_tol=1e-15), place
        else:
            assert found[place] == value, place
