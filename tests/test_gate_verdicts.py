"""The rules of the gate, one by one: what passes, what does not, and what settles nothing."""

from __future__ import annotations

import dataclasses
from typing import Any, List, Sequence

import attrs
import pytest

from common.evidence.gate.accuracy import judge_accuracy
from common.evidence.gate.baseline import StoredRun, stored_run
from common.evidence.gate.judging import judge_case
from common.evidence.gate.reading import GivenRun
from common.evidence.gate.soundness import judge_soundness
from common.evidence.gate.speed import judge_speed
from common.evidence.gate.spread import (
    chance_of_so_few,
    difference_of_means,
    prediction_half_width,
)
from common.evidence.gate.verdict import CaseReport, Verdict, overall, worst
from tests.gate_records import ACCURACY, FG_ARI, baseline, given, record, rules, task

PASS, REGRESS = Verdict.PASS, Verdict.REGRESS
INCONCLUSIVE, INFRA = Verdict.INCONCLUSIVE, Verdict.INFRA
STORED = (90.8, 91.0, 91.2)


def accuracy_verdict(made: Any, stored: Sequence[float], measured: Sequence[float]) -> Verdict:
    (finding,) = judge_accuracy(made, stored, measured)
    return finding.verdict


# --- arithmetic ---


def test_a_prediction_interval_is_t_times_deviation_times_root_of_one_and_a_third() -> None:
    assert prediction_half_width(STORED) == pytest.approx(2.92 * 0.2 * (4 / 3) ** 0.5, abs=1e-3)


def test_welchs_interval_of_two_equal_samples_has_their_pooled_degrees() -> None:
    difference, half_width = difference_of_means(STORED, [90.6, 90.8, 91.0])
    assert difference == pytest.approx(-0.2)
    assert half_width == pytest.approx(2.1318 * 0.2 * (2 / 3) ** 0.5, abs=1e-3)


@pytest.mark.parametrize(
    "now, runs, before, stored, chance",
    [
        (0, 3, 3, 3, 1 / 20),
        (1, 3, 3, 3, 4 / 20),
        (3, 3, 3, 3, 1.0),
        (0, 1, 4, 5, 1 / 3),
        (0, 5, 5, 5, 1 / 252),
        (2, 2, 0, 4, 1.0),
    ],
)
def test_fishers_exact_test(now: int, runs: int, before: int, stored: int, chance: float) -> None:
    assert chance_of_so_few(now, runs, before, stored) == pytest.approx(chance)


# --- accuracy within the stored spread ---

REACH = 1.0 + 2.92 * 0.2 * (4 / 3) ** 0.5  # margin and spread


@pytest.mark.parametrize(
    "value, verdict",
    [
        (91.0, PASS),
        (91.0 - REACH + 0.01, PASS),
        (91.0 - REACH - 0.01, REGRESS),
        (91.0 + REACH - 0.01, PASS),
        (91.0 + REACH + 0.01, REGRESS),
    ],
)
def test_one_run_must_lie_within_margin_and_spread_on_both_sides(
    value: float, verdict: Verdict
) -> None:
    assert accuracy_verdict(rules(margin=1.0), STORED, [value]) is verdict


@pytest.mark.parametrize(
    "value, verdict", [(0.2, PASS), (0.2 + 0.051, REGRESS), (0.2 - 0.051, REGRESS)]
)
def test_a_loss_is_worse_when_larger(value: float, verdict: Verdict) -> None:
    loss = attrs.evolve(ACCURACY, name="train_loss", unit="plain", higher_is_better=False)
    assert accuracy_verdict(rules(metric=loss, margin=0.05), (0.2, 0.2), [value]) is verdict


@pytest.mark.parametrize("value, told", [(99.0, True), (50.0, False)])
def test_too_good_is_told_apart_from_too_bad(value: float, told: bool) -> None:
    (finding,) = judge_accuracy(rules(margin=1.0), STORED, [value])
    assert ("too good" in finding.rule) is told


@pytest.mark.parametrize(
    "stored, value, verdict",
    [
        ((20.0, 60.0, 95.0), 60.0, INCONCLUSIVE),
        ((20.0, 60.0, 95.0), 5.0, INCONCLUSIVE),
        (STORED, 91.0, PASS),
    ],
)
def test_a_spread_that_reaches_down_to_guessing_settles_nothing(
    stored: Sequence[float], value: float, verdict: Verdict
) -> None:
    assert accuracy_verdict(rules(chance=10.0), stored, [value]) is verdict


def test_the_mean_of_several_runs_must_lie_closer_than_a_single_one() -> None:
    value = 91.0 - REACH + 0.02
    assert accuracy_verdict(rules(margin=1.0), STORED, [value]) is PASS
    assert accuracy_verdict(rules(margin=1.0), STORED, [value] * 3) is REGRESS


# --- release ---


@pytest.mark.parametrize(
    "measured, verdict",
    [
        ((94.40, 94.41, 94.42), PASS),
        ((94.28, 94.30, 94.29), PASS),  # worse, but by no more than the margin
        ((93.90, 93.92, 93.91), REGRESS),
        ((94.0, 94.4, 94.8), INCONCLUSIVE),  # equal in the mean, but nobody can be sure
        ((95.0, 95.01, 95.02), REGRESS),  # too good
        ((94.4,), INCONCLUSIVE),
    ],
)
def test_at_release_the_mean_is_not_inferior_by_the_margin(
    measured: Sequence[float], verdict: Verdict
) -> None:
    assert accuracy_verdict(rules("release", seeds=3), (94.40, 94.42, 94.41), measured) is verdict


# --- networks that fail by seed ---

LEARNT = (0.96, 0.97, 0.965)


@pytest.mark.parametrize(
    "stored, measured, rate, median",
    [
        (LEARNT, (0.96, 0.97, 0.965), PASS, PASS),
        (LEARNT, (0.1, 0.1, 0.1), REGRESS, REGRESS),
        (LEARNT, (0.96, 0.97, 0.1), INCONCLUSIVE, PASS),  # one more may fail by its seed
        (LEARNT, (0.96, 0.1, 0.1), INCONCLUSIVE, REGRESS),
        (LEARNT + (0.1,), (0.1,), INCONCLUSIVE, INCONCLUSIVE),  # stored seeds fail too
        (LEARNT + (0.1,), (0.96,), PASS, PASS),
        (LEARNT + (0.1,), (0.1,) * 5, REGRESS, REGRESS),
    ],
)
def test_success_rate_and_median(
    stored: Sequence[float], measured: Sequence[float], rate: Verdict, median: Verdict
) -> None:
    found = judge_accuracy(rules("release", metric=FG_ARI), stored, measured)
    assert [finding.aspect for finding in found] == ["success rate", "fg_ari"]
    assert [finding.verdict for finding in found] == [rate, median]


def test_where_no_stored_run_succeeded_the_value_alone_is_judged() -> None:
    assert accuracy_verdict(rules(metric=FG_ARI), (0.70, 0.71, 0.72), [0.71]) is PASS
    assert accuracy_verdict(rules(metric=FG_ARI), (0.70, 0.71, 0.72), [0.5]) is REGRESS


# --- speed ---


def runs(*rates: Any, **changes: Any) -> List[StoredRun]:
    return [stored_run(record(speed=rate, seed=seed, **changes)) for seed, rate in enumerate(rates)]


STEADY, WIDE, WILD = (100.0, 99.0, 101.0), (100.0, 95.0, 105.0), (100.0, 60.0, 140.0)


@pytest.mark.parametrize(
    "stored, rate, verdict",
    [
        (STEADY, 100.0, PASS),
        (STEADY, 91.0, PASS),
        (STEADY, 89.0, REGRESS),
        (STEADY, 300.0, PASS),
        (STEADY, None, INCONCLUSIVE),
        (WIDE, 84.0, PASS),  # 2.92 * 5 * sqrt(4 / 3) is 16.9 %, more than the margin
        (WIDE, 82.0, REGRESS),
        (WILD, 100.0, INCONCLUSIVE),  # a band that would let half the speed pass
    ],
)
def test_the_rate_is_held_against_the_stored_median(
    stored: Sequence[float], rate: Any, verdict: Verdict
) -> None:
    assert judge_speed(rules(), runs(*stored), runs(rate))[0].verdict is verdict


@pytest.mark.parametrize(
    "wait, verdict", [(0.02, PASS), (0.069, PASS), (0.08, REGRESS), (None, None)]
)
def test_the_share_of_waiting_for_data(wait: Any, verdict: Any) -> None:
    found = judge_speed(rules(), runs(100.0, 100.0), runs(100.0, data_wait=wait))
    assert found[1].verdict is verdict


# --- whether a run can be judged ---


def soundness(run: GivenRun) -> Verdict:
    return worst(finding.verdict for finding in judge_soundness(run))


GOOD = record()


@pytest.mark.parametrize(
    "run, verdict",
    [
        (GivenRun("x", GOOD), PASS),
        (GivenRun("x", GOOD, "complete", 0), PASS),
        (GivenRun("x", None), INCONCLUSIVE),
        (GivenRun("x", None, "failed", 1), INFRA),
        (GivenRun("x", GOOD, "failed", 3), INFRA),
        (GivenRun("x", GOOD, "failed", 1, "the run gave no accuracy"), REGRESS),
        (
            GivenRun(
                "x", record(status="aborted", reason="the loss is nan at step 3"), "failed", 1
            ),
            REGRESS,
        ),
        (GivenRun("x", record(status="aborted", reason="ended without a word")), INCONCLUSIVE),
    ],
    ids=lambda value: "" if isinstance(value, GivenRun) else value.name,
)
def test_how_a_run_ended(run: GivenRun, verdict: Verdict) -> None:
    assert soundness(run) is verdict


def test_steps_that_the_loss_scale_skipped_are_told_and_no_fault() -> None:
    health = dataclasses.replace(GOOD.health, loss_scale_skips=3)
    found = judge_soundness(GivenRun("x", dataclasses.replace(GOOD, health=health)))
    assert worst(part.verdict for part in found) is PASS
    assert "3 skipped by the loss scale" in found[1].measured


# --- all together ---


def judged(
    *records: Any, stored: Any = None, with_speed: bool = True, cases: Any = None, **changes: Any
) -> CaseReport:
    return judge_case(
        "m/t smoke",
        task() if cases is None else task(cases=cases),
        rules(**changes),
        given(*records),
        [baseline()] if stored is None else stored,
        with_speed,
    )


def verdict_of(report: CaseReport, aspect: str) -> Any:
    return {finding.aspect: finding.verdict for finding in report.findings}[aspect]


@pytest.mark.parametrize(
    "changes, verdict",
    [
        ({}, PASS),
        ({"first_batches_sha256": "f" * 64}, REGRESS),
        ({"first_batches_sha256": None}, INCONCLUSIVE),
        ({"seed": 7}, None),  # none is stored for this seed
    ],
)
def test_first_batches_must_be_those_of_the_same_seed(changes: Any, verdict: Any) -> None:
    report = judged(record(**changes))
    assert verdict_of(report, f"first batches, seed {changes.get('seed', 0)}") is verdict
    assert report.verdict is (verdict or PASS)


def test_a_reference_that_does_not_say_what_it_was_evaluated_on_settles_nothing() -> None:
    made = baseline()
    runs = tuple(dataclasses.replace(run, evaluation=None) for run in made.runs)
    old = dataclasses.replace(made, runs=runs)
    assert verdict_of(judged(record(), stored=[old]), "evaluation") is INCONCLUSIVE


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"config": {"augmentation": {"flip": False}}}, "augmentation.flip: True -> False"),
        ({"config": {"epochs": 9}}, "epochs: absent -> 9"),
        ({"batch": dataclasses.replace(GOOD.batch, total=64)}, "global_batch: 32 -> 64"),
        (
            {
                "device": dataclasses.replace(GOOD.device, kind="gpu"),
                "health": dataclasses.replace(GOOD.health, proof="9 parameter tensors on cuda:0"),
            },
            "device: cpu -> gpu",
        ),
        (
            {"device": dataclasses.replace(GOOD.device, framework="torch 1.8")},
            "framework: torch 2 -> torch 1",
        ),
        ({"precision": dataclasses.replace(GOOD.precision, mode="O2")}, "precision: O0 -> O2"),
        ({"dataset": dataclasses.replace(GOOD.dataset, predicate="half")}, "dataset: all -> half"),
        (
            {"dataset": dataclasses.replace(GOOD.dataset, manifest_sha256="e" * 64)},
            "manifest_sha256: dddd",
        ),
    ],
)
def test_another_key_has_no_reference_and_says_what_differs(changes: Any, told: str) -> None:
    report = judged(record(**changes))
    assert report.verdict is INCONCLUSIVE
    (finding,) = [part for part in report.findings if part.aspect == "reference"]
    assert told in finding.rule, finding.rule


def test_a_minor_version_of_the_framework_keeps_the_reference() -> None:
    device = dataclasses.replace(GOOD.device, framework="torch 2.99.1+cpu")
    assert judged(record(device=device)).verdict is PASS


def test_the_nearest_reference_is_the_one_that_is_named() -> None:
    far = baseline(config={"a": 1, "b": 2, "augmentation": {"flip": True}})
    near = baseline()
    (finding,) = [
        part
        for part in judged(record(config={"lr": 3}), stored=[far, near]).findings
        if part.aspect == "reference"
    ]
    assert finding.reference == near.file_name


def test_another_device_name_leaves_accuracy_judged() -> None:
    device = dataclasses.replace(GOOD.device, name="Other CPU")
    report = judged(record(accuracy=20.0, device=device))
    assert verdict_of(report, "speed") is INCONCLUSIVE
    assert verdict_of(report, "accuracy") is REGRESS and report.verdict is REGRESS


SMOKE = task().cases["smoke"]


@pytest.mark.parametrize(
    "kind, aspects",
    [
        ("perf", {"speed", "data wait"}),
        ("eval", {"accuracy"}),
        ("acc", {"accuracy", "speed", "data wait"}),
    ],
)
def test_a_case_is_judged_by_what_it_promises(kind: str, aspects: set) -> None:
    cases = {"smoke": attrs.evolve(SMOKE, kind=kind)}
    found = {finding.aspect for finding in judged(record(), cases=cases).findings}
    assert found & {"accuracy", "speed", "data wait"} == aspects


def test_without_speed_it_is_told_only() -> None:
    report = judged(record(speed=10.0), with_speed=False)
    assert report.verdict is PASS and verdict_of(report, "speed") is None


def test_a_run_without_the_metric_is_inconclusive() -> None:
    metrics = dataclasses.replace(GOOD.metrics, final={"accuracy": float("nan")})
    made = dataclasses.replace(GOOD, metrics=metrics)
    assert verdict_of(judged(made), "accuracy") is INCONCLUSIVE


def test_fewer_seeds_than_the_card_asks_for_are_inconclusive_even_where_all_else_passes() -> None:
    report = judged(record(), seeds=2)
    assert report.verdict is INCONCLUSIVE and verdict_of(report, "accuracy") is PASS


def test_the_same_seed_twice_is_no_second_run() -> None:
    assert judged(record(), record()).verdict is INCONCLUSIVE


def test_one_run_that_was_killed_does_not_hide_behind_the_others() -> None:
    runs_given = given(record()) + [GivenRun("y", None, "failed", 137)]
    report = judge_case("m/t smoke", task(), rules(), runs_given, [baseline()])
    assert report.verdict is INFRA


@pytest.mark.parametrize(
    "found, verdict",
    [
        ([PASS, PASS], PASS),
        ([PASS, None], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, INFRA], INFRA),
        ([INFRA, REGRESS], REGRESS),
        ([], INCONCLUSIVE),
        ([None], INCONCLUSIVE),
    ],
)
def test_the_worst_finding_decides_and_nothing_is_no_pass(
    found: List[Any], verdict: Verdict
) -> None:
    assert worst(found) is verdict


def test_no_case_at_all_is_inconclusive() -> None:
    assert overall([]) is INCONCLUSIVE
