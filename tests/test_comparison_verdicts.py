"""PrecisionStatus and PerfStatus: what is called OK is shown to be, and what is not, is not."""

from __future__ import annotations

import math
from typing import List

import numpy as np
import pytest

from common.evidence.comparison.compared import compare
from common.evidence.comparison.runs import Group, Run
from common.evidence.comparison.settings import Settings
from common.evidence.comparison.statistics import UNKNOWN, Estimate
from common.evidence.comparison.verdicts import (
    INCONCLUSIVE,
    NOK,
    OK,
    PERFECT,
    POK,
    Evidence,
    Judged,
    Verdict,
    exit_code,
    perf_verdict,
    precision_verdict,
)
from tests.noisy_series import first_order_noise, series

ACCURACY = Judged("accuracy", True, 0.3, unit="percent")
LOSS = Judged("loss", False, 0.05, is_curve=True)
AGREE, WORSE = Estimate(0.01, 0.02), Estimate(0.2, 0.05)
RUNS = 200


def statuses(count: int, coefficient: float, noise: float, ratio: float, seed: int) -> List[str]:
    """PrecisionStatus by the loss of RUNS pairs of runs, the candidate's `ratio` times as high."""
    rows = 1 + noise * first_order_noise(coefficient, count, 2 * RUNS, seed)
    pairs = zip(rows[:RUNS], ratio * rows[RUNS:])
    settings = Settings(LOSS, window=count)
    return [
        compare(
            Group("gpu", (Run("a", {"loss": series(one)}),)),
            Group("npu", (Run("b", {"loss": series(other)}),)),
            settings,
        ).precision.status
        for one, other in pairs
    ]


@pytest.mark.parametrize(
    ("count", "coefficient", "noise"),
    [(50, 0.0, 0.15), (50, 0.3, 0.02), (200, 0.8, 0.1), (1000, 0.95, 0.1), (40, 0.9, 0.1)],
)
def test_equal_runs_are_hardly_ever_nok(count: int, coefficient: float, noise: float) -> None:
    assert np.mean([status == NOK for status in statuses(count, coefficient, noise, 1, 30)]) <= 0.05


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (Estimate(-0.9, 0.1), "0.8 percent to 1 percent worse than"),
        (Estimate(0.9, 0.1), "0.8 percent to 1 percent better than"),
        (Estimate(0.1, 0.3), "0.2 percent worse to 0.4 percent better than"),
    ],
)
def test_a_verdict_tells_its_interval_from_the_nearer_end(difference: Estimate, told: str) -> None:
    assert told in precision_verdict(ACCURACY, Evidence(difference, AGREE)).because


def test_equal_runs_that_are_long_enough_are_ok() -> None:
    assert np.mean([status == OK for status in statuses(500, 0.5, 0.1, 1, 31)]) > 0.9


@pytest.mark.parametrize(("count", "coefficient"), [(200, 0.0), (1000, 0.8)])
def test_a_real_difference_beyond_the_margin_is_found(count: int, coefficient: float) -> None:
    found = statuses(count, coefficient, 0.1, 1.15, 32)
    assert np.mean([status == NOK for status in found]) > 0.9
    assert OK not in found


def test_a_difference_as_large_as_the_margin_is_seldom_ok() -> None:
    assert np.mean([status == OK for status in statuses(300, 0.3, 0.1, 1.05, 33)]) <= 0.05


@pytest.mark.parametrize(("count", "noise"), [(5, 0.01), (20, 0.15), (29, 0.001), (50, 0.8)])
def test_short_or_noisy_runs_are_inconclusive_and_never_ok(count: int, noise: float) -> None:
    found = statuses(count, 0.0, noise, 1, 34)
    assert OK not in found
    assert np.mean([status == INCONCLUSIVE for status in found]) > 0.95


@pytest.mark.parametrize(
    ("metric", "loss", "status"),
    [
        (Estimate(0.1, 0.2), None, OK),
        (Estimate(-0.1, 0.19), None, OK),
        (Estimate(-0.2, 0.2), AGREE, INCONCLUSIVE),
        (Estimate(-0.5, 0.1), AGREE, POK),
        (Estimate(-0.5, 0.1), WORSE, NOK),
        (Estimate(-0.5, 0.1), UNKNOWN, NOK),
        (Estimate(-0.5, 0.1), None, NOK),
        (Estimate(5.0, math.inf), AGREE, INCONCLUSIVE),
        (UNKNOWN, AGREE, INCONCLUSIVE),
        (None, AGREE, INCONCLUSIVE),
        (None, WORSE, NOK),
        (None, None, INCONCLUSIVE),
    ],
)
def test_precision_by_metric_and_loss(metric, loss, status: str) -> None:
    assert precision_verdict(ACCURACY, Evidence(metric, loss)).status == status


def test_a_lower_metric_can_be_the_better_one() -> None:
    error = Judged("error", False, 0.3)
    assert precision_verdict(error, Evidence(Estimate(-5, 1), None)).status == OK
    assert precision_verdict(error, Evidence(Estimate(5, 1), None)).status == NOK


def test_without_a_margin_nothing_is_ok() -> None:
    judged = Judged("accuracy", True, None)
    found = precision_verdict(judged, Evidence(Estimate(1, 0.1), AGREE))
    assert (found.status, found.because) == (INCONCLUSIVE, "no margin is named for accuracy")


def test_doubts_forbid_a_verdict() -> None:
    found = precision_verdict(ACCURACY, Evidence(Estimate(1, 0.1), AGREE, doubts=["aborted"]))
    assert (found.status, found.because) == (INCONCLUSIVE, "aborted")


def test_nan_in_the_candidate_alone_is_nok() -> None:
    good = np.linspace(2, 1, 60)
    runs = [
        Group(label, (Run(label, {"loss": series(values)}),))
        for label, values in (("gpu", good), ("npu", np.where(np.arange(60) > 55, np.nan, good)))
    ]
    found = compare(runs[0], runs[1], Settings(ACCURACY))
    assert found.precision.status == NOK
    assert "nan" in found.precision.because
    assert compare(runs[1], runs[0], Settings(ACCURACY)).precision.status == INCONCLUSIVE


def test_several_seeds_are_compared_between_seeds() -> None:
    generator = np.random.RandomState(35)

    def group(label: str, scale: float) -> Group:
        return Group(
            label,
            tuple(
                Run(label, {"loss": series(level * (1 + 0.01 * generator.standard_normal(60)))})
                for level in scale * (1 + 0.3 * generator.standard_normal(3))
            ),
        )

    # Within each run the noise is tiny, between seeds it is not: no verdict on three of them.
    found = compare(group("gpu", 1.0), group("npu", 1.1), Settings(LOSS))
    assert found.seeds is not None
    assert found.seeds.half_width > 0.2
    assert found.precision.status == INCONCLUSIVE


@pytest.mark.parametrize(
    ("ratio", "status"),
    [(1.2, PERFECT), (1.199, OK), (1.0, OK), (0.999, POK), (0.5, POK), (0.499, NOK)],
)
def test_the_classes_of_speed(ratio: float, status: str) -> None:
    assert perf_verdict(Estimate(ratio, 0.0)).status == status


@pytest.mark.parametrize("ratio", [Estimate(2, 0.2), Estimate(2, math.inf), UNKNOWN])
def test_a_speed_that_is_not_measured_well_is_inconclusive(ratio: Estimate) -> None:
    assert perf_verdict(ratio).status == INCONCLUSIVE


def test_a_limit_within_the_interval_is_told() -> None:
    assert "holds the limit 1.2x" in perf_verdict(Estimate(1.21, 0.02)).because


@pytest.mark.parametrize(
    ("found", "code"),
    [([OK, PERFECT], 0), ([OK, INCONCLUSIVE], 2), ([POK, PERFECT], 1), ([NOK, INCONCLUSIVE], 1)],
)
def test_exit_codes(found: List[str], code: int) -> None:
    assert exit_code([Verdict(status, "", "") for status in found]) == code
