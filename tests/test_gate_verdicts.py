"""The rules of the gate, one by one: what passes, what does not, and what settles nothing."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, List, Sequence
from xml.etree import ElementTree

import attrs
import pytest

from common.evidence.gate.evidence import GivenRun
from common.evidence.gate.findings import (
    CaseReport,
    Finding,
    Verdict,
    as_json,
    rendered,
    worst,
)
from common.evidence.gate.judging import (
    judge_accuracy,
    judge_case,
    judge_speed,
)
from common.evidence.gate.references import StoredRun, stored_run
from common.runs.marker import Marker
from tests.gate_records import ACCURACY, FG_ARI, baseline, given, record, rules, task

PASS, REGRESS = Verdict.PASS, Verdict.REGRESS
INCONCLUSIVE, INFRA = Verdict.INCONCLUSIVE, Verdict.INFRA
STORED = (90.8, 91.0, 91.2)
REACH = 1.0 + 2.92 * 0.2 * (4 / 3) ** 0.5  # margin and spread
LOSS = attrs.evolve(ACCURACY, name="train_loss", unit="plain", higher_is_better=False)


# --- accuracy ---

WITHIN = rules(margin=1.0)
RELEASE = rules("release", seeds=3)
SURE = (94.40, 94.42, 94.41)
FRACTIONS = (0.70, 0.71, 0.72)


@pytest.mark.parametrize(
    "made, stored, measured, verdict",
    [
        (WITHIN, STORED, [91.0 - REACH + 0.01], PASS),
        (WITHIN, STORED, [91.0 - REACH - 0.01], REGRESS),
        (WITHIN, STORED, [91.0 + REACH - 0.01], PASS),
        (WITHIN, STORED, [91.0 + REACH + 0.01], REGRESS),  # too good
        (WITHIN, STORED, [91.0 - REACH + 0.02] * 3, REGRESS),  # of several runs the mean
        (rules(metric=LOSS, margin=0.05), (0.2, 0.2), [0.251], REGRESS),
        (rules(metric=LOSS, margin=0.05), (0.2, 0.2), [0.149], REGRESS),
        # a spread that reaches down to guessing
        (rules(chance=10.0), (20.0, 60.0, 95.0), [60.0], INCONCLUSIVE),
        (rules(chance=10.0), STORED, [91.0], PASS),
        (RELEASE, SURE, (94.40, 94.41, 94.42), PASS),
        (RELEASE, SURE, (94.28, 94.30, 94.29), PASS),  # worse, but by no more than the margin
        (RELEASE, SURE, (93.90, 93.92, 93.91), REGRESS),
        (RELEASE, SURE, (94.0, 94.4, 94.8), INCONCLUSIVE),  # equal, but nobody can be sure
        (RELEASE, SURE, (95.0, 95.01, 95.02), REGRESS),  # too good
        (RELEASE, SURE, (94.4,), INCONCLUSIVE),
        # a network that fails by seed, of which no stored run succeeded
        (rules(metric=FG_ARI), FRACTIONS, [0.71], PASS),
        (rules(metric=FG_ARI), FRACTIONS, [0.5], REGRESS),
    ],
)
def test_accuracy_is_held_against_the_stored_runs(
    made: Any, stored: Sequence[float], measured: Sequence[float], verdict: Verdict
) -> None:
    (finding,) = judge_accuracy(made, stored, measured)
    assert finding.verdict is verdict
    better = sum(measured) / len(measured) > sum(stored) / len(stored)
    good = better is made.metric.higher_is_better
    assert ("too good" in finding.rule) is (verdict is REGRESS and good)


LEARNT = (0.96, 0.97, 0.965)


@pytest.mark.parametrize(
    "stored, measured, rate, median",
    [
        (LEARNT, LEARNT, PASS, PASS),
        (LEARNT, (0.96, 0.97, 0.1), INCONCLUSIVE, PASS),  # one more may fail by its seed
        (LEARNT, (0.96, 0.1, 0.1), INCONCLUSIVE, REGRESS),
        (LEARNT + (0.1,), (0.1,), INCONCLUSIVE, INCONCLUSIVE),  # stored seeds fail too
        (LEARNT + (0.1,), (0.96,), PASS, PASS),
        (LEARNT + (0.1,), (0.1,) * 5, REGRESS, REGRESS),
        ((0.96, 0.1), (0.96,), PASS, None),  # one that succeeded has no spread
    ],
)
def test_success_rate_and_median_of_networks_that_fail_by_seed(
    stored: Sequence[float], measured: Sequence[float], rate: Verdict, median: Any
) -> None:
    found = judge_accuracy(rules("release", metric=FG_ARI), stored, measured)
    assert [finding.aspect for finding in found] == ["success rate", "fg_ari"]
    assert [finding.verdict for finding in found] == [rate, median]


# --- speed ---


def runs(*rates: Any, **changes: Any) -> List[StoredRun]:
    return [stored_run(record(speed=rate, seed=seed, **changes)) for seed, rate in enumerate(rates)]


STEADY, WIDE, WILD = (100.0, 99.0, 101.0), (100.0, 95.0, 105.0), (100.0, 60.0, 140.0)


@pytest.mark.parametrize(
    "stored, rate, wait, speed, data_wait",
    [
        (STEADY, 91.0, 0.069, PASS, PASS),
        (STEADY, 89.0, 0.08, REGRESS, REGRESS),
        (STEADY, 300.0, None, PASS, None),
        (STEADY, None, 0.02, INCONCLUSIVE, PASS),
        (WIDE, 84.0, 0.02, PASS, PASS),  # 2.92 * 5 * sqrt(4 / 3) is 16.9 %, more than the margin
        (WIDE, 82.0, 0.02, REGRESS, PASS),
        (WILD, 100.0, 0.02, INCONCLUSIVE, PASS),  # a band that would let half the speed pass
    ],
)
def test_rate_and_waiting_for_data_are_held_against_the_stored_ones(
    stored: Sequence[float], rate: Any, wait: Any, speed: Any, data_wait: Any
) -> None:
    found = judge_speed(rules(), runs(*stored), runs(rate, data_wait=wait))
    assert [finding.verdict for finding in found] == [speed, data_wait]


# --- all together; tests/test_gate_attacks.py has what forged and lost evidence comes to ---

GOOD = record()


def judged(
    *records: Any, stored: Any = None, with_speed: bool = True, kind: str = "acc", **changes: Any
) -> CaseReport:
    cases = {"smoke": attrs.evolve(task().cases["smoke"], kind=kind)}
    made, held = rules(**changes), [baseline()] if stored is None else stored
    return judge_case("m/t smoke", task(cases=cases), made, given(*records), held, with_speed)


def other(part: str, **changes: Any) -> Any:
    return {part: dataclasses.replace(getattr(GOOD, part), **changes)}


def unsaid() -> List[Any]:
    """A reference of earlier days, which does not say what it was evaluated on."""
    made = baseline()
    return [attrs.evolve(made, runs=tuple(attrs.evolve(run, evaluation=None) for run in made.runs))]


ELSEWHERE = other("device", name="Other CPU")


@pytest.mark.parametrize(
    "made, changes, aspect, of_aspect, verdict",
    [
        (record(), {}, "reference", PASS, PASS),
        (record(seed=7), {}, "first batches, seed 7", None, PASS),  # none is stored
        (record(), {"stored": unsaid()}, "evaluation", INCONCLUSIVE, INCONCLUSIVE),
        (record(**other("device", framework="torch 2.99.1")), {}, "reference", PASS, PASS),
        (record(20.0, **ELSEWHERE), {}, "accuracy", REGRESS, REGRESS),
        (record(**ELSEWHERE), {}, "speed", INCONCLUSIVE, INCONCLUSIVE),
        (record(speed=10.0), {"with_speed": False}, "speed", None, PASS),
        (record(), {"seeds": 2}, "accuracy", PASS, INCONCLUSIVE),
    ],
)
def test_a_case_is_judged_by_each_of_its_aspects(
    made: Any, changes: Any, aspect: str, of_aspect: Any, verdict: Verdict
) -> None:
    report = judged(made, **changes)
    assert {part.aspect: part.verdict for part in report.findings}[aspect] is of_aspect
    assert report.verdict is verdict


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"config": {"augmentation": {"flip": False}}}, "augmentation.flip: True -> False"),
        (
            {**other("device", kind="gpu"), **other("health", proof="9 tensors on cuda:0")},
            "device: cpu -> gpu",
        ),
        (other("dataset", predicate="half"), "dataset: all -> half"),
    ],
)
def test_another_key_has_no_reference_and_says_how_it_differs_from_the_nearest(
    changes: Any, told: str
) -> None:
    far, near = baseline(config={"a": 1, "b": 2}), baseline()
    report = judged(record(**changes), stored=[far, near])
    assert report.verdict is INCONCLUSIVE
    (finding,) = [part for part in report.findings if part.aspect == "reference"]
    assert told in finding.rule and finding.reference == near.file_name


SPEED = {"speed", "data wait"}


@pytest.mark.parametrize(
    "kind, aspects", [("perf", SPEED), ("eval", {"accuracy"}), ("acc", {"accuracy"} | SPEED)]
)
def test_a_case_is_judged_by_what_it_promises(kind: str, aspects: set) -> None:
    found = {finding.aspect for finding in judged(record(), kind=kind).findings}
    assert found & ({"accuracy"} | SPEED) == aspects


def test_a_killed_run_does_not_hide_behind_the_others() -> None:
    both = [*given(record()), GivenRun("x", None, Marker(state="failed", exit_code=137))]
    assert judge_case("m/t smoke", task(), rules(), both, [baseline()]).verdict is INFRA


@pytest.mark.parametrize(
    "found, verdict",
    [
        ([PASS, None], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([INFRA, REGRESS], REGRESS),
        ([], INCONCLUSIVE),
        ([None], INCONCLUSIVE),
    ],
)
def test_the_worst_finding_decides_and_nothing_is_no_pass(
    found: List[Any], verdict: Verdict
) -> None:
    assert worst(found) is verdict


# --- What the gate writes ---


NASTY = 'a <b> & "c" | \x07 \x1b[31m \ud800 漢字 ]]>\nsecond line'
FOUND = (
    Finding("accuracy", PASS, "91.00 percent", "stored 90.80, 91.00", "at least 89"),
    Finding("speed", REGRESS, "50.0 samples/s", "100.0 samples/s", "at least 0.9"),
    Finding("data wait", None, "–", "–", "not judged"),
)
REPORTS = [
    CaseReport("m/t smoke", "CPU Test x 1, torch 2", ("run",), FOUND, 61.4),
    CaseReport("m/u smoke", "", (), (Finding("run", INFRA, NASTY, "", "could not start"),)),
]

TEXT = """\
m/t smoke: REGRESS (CPU Test x 1, torch 2, 61 s)
  PASS          accuracy: 91.00 percent; against stored 90.80, 91.00; at least 89
  REGRESS       speed: 50.0 samples/s; against 100.0 samples/s; at least 0.9
  told          data wait: –; against –; not judged
REGRESS of tier smoke: 1 REGRESS, 61 s"""


def test_a_report_as_text_json_and_markdown_has_every_finding_in_one_line() -> None:
    assert rendered("report.txt", REPORTS[:1], "smoke") == TEXT
    text = rendered("report.txt", REPORTS[1:], "smoke")
    assert len(text.splitlines()) == 3 and "\x1b" not in text
    content = json.loads(json.dumps(as_json(REPORTS, "smoke")))
    assert (content["verdict"], content["exit_code"]) == ("REGRESS", 1)
    assert [case["verdict"] for case in content["cases"]] == ["REGRESS", "INFRA"]
    assert content["cases"][0]["findings"][1]["rule"] == "at least 0.9"
    page = rendered("report.md", REPORTS, "smoke")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 * 2 + 4  # head and rule of two tables, and four findings
    assert all(line.replace("\\|", "").count("|") == 6 for line in rows)
    assert "&lt;b> &amp;" in page and "<b>" not in page


def test_junit_is_well_formed_and_never_passes_what_was_not_judged() -> None:
    root = ElementTree.fromstring(rendered("junit.xml", REPORTS, "smoke").encode("utf-8"))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    message = root.find("testsuite[2]/testcase/error").get("message")
    assert 'a <b> & "c" |' in message and "漢字" in message
    cases = [(case.get("name"), [part.tag for part in case]) for case in root.iter("testcase")]
    assert cases == [("accuracy", ["system-out"]), ("speed", ["failure"]), ("run", ["error"])]
    assert "data wait" in root.find("testsuite[1]/system-out").text
