"""PrecisionStatus and PerfStatus: what is called OK is shown to be, and what is not, is not."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional

import numpy as np
import pytest

from common.evidence.comparison import compared as level
from common.evidence.comparison.compared import (
    INCONCLUSIVE,
    NOK,
    OK,
    PERFECT,
    POK,
    compare,
    exit_code,
    perf_verdict,
    precision_verdict,
)
from common.evidence.comparison.runs import Group, Judged, Run, Settings
from common.evidence.comparison.statistics import UNKNOWN, Estimate
from tests.noisy_series import first_order_noise, series

ACCURACY = Judged("accuracy", True, 0.3, unit="percent")
LOSS = Judged("loss", False, 0.05, is_curve=True)
AGREE, WORSE = Estimate(0.01, 0.02), Estimate(0.2, 0.05)
RUNS = 200


def group(label: str, *losses: Any) -> Group:
    return Group(label, tuple(Run(label, {"loss": series(values)}) for values in losses))


@pytest.mark.parametrize(
    "count, coefficient, noise, ratio, shares",
    [
        # equal runs: hardly ever NOK, and OK where they are long enough
        (50, 0.0, 0.15, 1, {NOK: (0, 0.05)}),
        (1000, 0.95, 0.1, 1, {NOK: (0, 0.05)}),
        (500, 0.5, 0.1, 1, {OK: (0.9, 1)}),
        # a real difference beyond the margin is found; one as large as the margin is seldom OK
        (1000, 0.8, 0.1, 1.15, {NOK: (0.9, 1), OK: (0, 0)}),
        (300, 0.3, 0.1, 1.05, {OK: (0, 0.05)}),
        # short or noisy runs are never OK
        (29, 0.0, 0.001, 1, {OK: (0, 0), INCONCLUSIVE: (0.95, 1)}),
        (50, 0.0, 0.8, 1, {OK: (0, 0), INCONCLUSIVE: (0.95, 1)}),
    ],
)
def test_of_many_simulated_pairs_of_runs_so_many_get_a_status(
    count: int, coefficient: float, noise: float, ratio: float, shares: Dict[str, Any]
) -> None:
    rows = 1 + noise * first_order_noise(coefficient, count, 2 * RUNS, seed=32)
    found = [
        compare(group("gpu", one), group("npu", other), Settings(LOSS, window=count)).precision
        for one, other in zip(rows[:RUNS], ratio * rows[RUNS:])
    ]
    for status, (least, most) in shares.items():
        assert least <= np.mean([verdict.status == status for verdict in found]) <= most


@pytest.mark.parametrize(
    "metric, loss, status",
    [
        (Estimate(0.1, 0.2), None, OK),
        (Estimate(-0.1, 0.19), None, OK),
        (Estimate(-0.2, 0.2), AGREE, INCONCLUSIVE),
        (Estimate(-0.5, 0.1), AGREE, POK),
        (Estimate(-0.5, 0.1), WORSE, NOK),
        (Estimate(-0.5, 0.1), UNKNOWN, NOK),
        (Estimate(-0.5, 0.1), None, NOK),
        (Estimate(5.0, math.inf), AGREE, INCONCLUSIVE),
        (None, AGREE, INCONCLUSIVE),
        (None, WORSE, NOK),
    ],
)
def test_precision_by_metric_and_loss(
    metric: Optional[Estimate], loss: Optional[Estimate], status: str
) -> None:
    assert precision_verdict(ACCURACY, metric, loss).status == status
    error = Judged("error", False, 0.3)  # a lower metric can be the better one
    turned = None if metric is None else metric.scaled(-1)
    assert precision_verdict(error, turned, loss).status == status
    unnamed = precision_verdict(Judged("accuracy", True, None), metric, loss)
    assert unnamed.status == (NOK if (metric, loss) == (None, WORSE) else INCONCLUSIVE)


def test_a_verdict_tells_its_interval_and_doubts_forbid_it() -> None:
    found = precision_verdict(ACCURACY, Estimate(-0.9, 0.1), AGREE)
    assert "accuracy differs by -1 percent to -0.8 percent" in found.because
    found = precision_verdict(ACCURACY, Estimate(1, 0.1), AGREE, doubts=["aborted"])
    assert (found.status, found.because) == (INCONCLUSIVE, "aborted")


def test_nan_in_the_candidate_alone_is_nok() -> None:
    good = np.linspace(2, 1, 60)
    runs = group("gpu", good), group("npu", np.where(np.arange(60) > 55, np.nan, good))
    found = compare(*runs, Settings(ACCURACY)).precision
    assert found.status == NOK and "nan" in found.because
    assert compare(runs[1], runs[0], Settings(ACCURACY)).precision.status == INCONCLUSIVE


def test_several_seeds_are_compared_between_seeds() -> None:
    """Within each run the noise is tiny, between seeds it is not: no verdict on three of them."""
    generator = np.random.RandomState(35)

    def of_seeds(label: str, scale: float) -> Group:
        levels = scale * (1 + 0.3 * generator.standard_normal(3))
        noise = [1 + 0.01 * generator.standard_normal(60) for _ in levels]
        return group(label, *(level * row for level, row in zip(levels, noise)))

    found = compare(of_seeds("gpu", 1.0), of_seeds("npu", 1.1), Settings(LOSS))
    assert found.between_seeds is not None and found.between_seeds.half_width > 0.2
    assert found.precision.status == INCONCLUSIVE


@pytest.mark.parametrize(
    "ratio, status",
    [
        (Estimate(1.2, 0.0), PERFECT),
        (Estimate(1.199, 0.0), OK),
        (Estimate(0.999, 0.0), POK),
        (Estimate(0.499, 0.0), NOK),
        (Estimate(2, 0.2), INCONCLUSIVE),  # not measured well
        (Estimate(2), INCONCLUSIVE),
        (UNKNOWN, INCONCLUSIVE),
    ],
)
def test_the_classes_of_speed(ratio: Estimate, status: str) -> None:
    assert perf_verdict(ratio).status == status


def test_exit_codes() -> None:
    assert exit_code([OK, PERFECT]) == 0 and exit_code([OK, INCONCLUSIVE]) == 2
    assert exit_code([POK, PERFECT]) == exit_code([NOK, INCONCLUSIVE]) == 1


# --- modelzoo_level.txt: computed from records, unverified until a record proves more ---


UNVERIFIED = "unverified"
KEYS = ["GPUStatus", "NPUMigrationStatus", "FuncStatus"]
KEYS += ["PrecisionStatus", "AutoTune", "PerfStatus"]


def record(kind: str, **changes: Any) -> Any:
    made = {"model": "some_net", "status": "complete", "task": "a", "case": "full_1p", **changes}
    return SimpleNamespace(device=SimpleNamespace(kind=kind), run_id="x", **made)


BOTH = [record("npu"), record("gpu")]


@pytest.mark.parametrize(
    "records, status, told",
    [
        ([record("npu", status="aborted"), record("cpu")], OK, [UNVERIFIED] * 3),
        ([record("npu"), record("gpu", case="full_8p")], OK, [OK, OK, UNVERIFIED]),
        (BOTH, NOK, [OK, OK, NOK]),
        (BOTH, INCONCLUSIVE, [OK, OK, UNVERIFIED]),
        (BOTH + [record(kind, case="full_8p") for kind in ("npu", "gpu")], PERFECT, [OK, OK, OK]),
    ],
)
def test_only_the_same_case_on_both_devices_is_compared_and_the_worst_case_counts(
    records: List[Any], status: str, told: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = iter([status, OK])
    monkeypatch.setattr(level, "read_run", lambda *_: None)
    monkeypatch.setattr(level, "settings_of", lambda *_: None)

    def compare(*_: Any) -> Any:
        verdict = SimpleNamespace(status=next(statuses))
        return SimpleNamespace(precision=verdict, perf=verdict)

    monkeypatch.setattr(level, "compare", compare)
    card: Any = SimpleNamespace(name="some_net", folder=Path("net"))
    (text,) = level.levels(Path(), [card], records).values()
    found = dict(line.split(":") for line in text.splitlines())
    assert list(found) == KEYS
    assert [found[key] for key in ("GPUStatus", "FuncStatus", "PrecisionStatus")] == told
