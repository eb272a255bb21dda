"""Cases, ratios, waits and verdicts of the benchmarks from made-up times; one real small run."""

from __future__ import annotations

import json

import pytest

from benchmarks.harness import Measured, Verdict, make_parser, named_variants, run, verdict_of
from benchmarks.protoattend.benchmark import BENCHMARK as PROTOATTEND
from benchmarks.report import as_json, as_text
from benchmarks.residual_attention_net.benchmark import BENCHMARK as RESIDUAL
from benchmarks.slot_attention.benchmark import BENCHMARK as SLOTS
from common.core.errors import UsageError

RESIDUAL_ON_2 = (RESIDUAL, "2.13.0+cpu")
DISCOVERY_ON_2 = (SLOTS, "2.21.0")
PROTOATTEND_ON_1 = (PROTOATTEND, "1.15.0")
ALL = [RESIDUAL_ON_2, DISCOVERY_ON_2, PROTOATTEND_ON_1]


def cases_of(benchmark, *words):
    return benchmark.cases(make_parser(benchmark).parse_args(list(words)))


def measured(what, ratio, wait=0.001, device="cpu"):
    """One case: a baseline of two seconds a round, ours `ratio` times as fast."""
    benchmark, version = what
    seconds = {"baseline": 2.0, "ours_fp32": 2.0 / ratio}
    answers = {
        name: [{"seconds": took, "wait_seconds": wait * took, "peak_memory": 1.5e9}] * 3
        for name, took in seconds.items()
    }
    machine = {"version": version, "device": "a CPU", "threads": 2}
    warm_up = dict.fromkeys(seconds, 9.0)
    return Measured(benchmark, cases_of(benchmark)[0], device, machine, answers, warm_up)


def test_ratios_are_taken_pair_by_pair():
    found = measured(RESIDUAL_ON_2, 2.0)
    # The machine slowed down between the pairs; each pair still says 2.
    for name, took in (("baseline", [2.0, 20.0]), ("ours_fp32", [1.0, 10.0])):
        found.answers[name] = [{"seconds": seconds} for seconds in took]
    assert found.ratio("ours_fp32").text(2) == "2.00 (2.00..2.00)"
    assert found.speed("ours_fp32").text() == "35.2 (6.4..64.0)"


@pytest.mark.parametrize(
    "what, reached, missed",
    [
        (RESIDUAL_ON_2, 1.26, 1.24),
        (DISCOVERY_ON_2, 1.01, 0.97),
        (PROTOATTEND_ON_1, 1.51, 1.49),
    ],
)
def test_a_reached_ratio_passes_and_one_below_its_target_is_a_miss(what, reached, missed):
    assert measured(what, reached).verdict() is Verdict.REACHED
    assert measured(what, missed).verdict() is Verdict.MISSED


@pytest.mark.parametrize("what", ALL)
def test_where_no_ratio_is_set_nothing_is_told(what):
    assert measured(what, 9.0, device="gpu").verdict() is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("what", [DISCOVERY_ON_2, PROTOATTEND_ON_1])
def test_waiting_long_for_data_is_a_miss(what):
    found = measured(what, 3.0, wait=0.06)
    assert found.verdict() is Verdict.MISSED
    assert "6.0% of a step waits for data" in as_text([found])


def test_the_worst_case_decides():
    good, bad = measured(DISCOVERY_ON_2, 1.1), measured(DISCOVERY_ON_2, 0.9)
    off = measured(DISCOVERY_ON_2, 1.1, device="gpu")
    assert verdict_of([good, bad, off]) is Verdict.MISSED
    assert verdict_of([good, off]) is Verdict.INCONCLUSIVE
    assert verdict_of([good]) is Verdict.REACHED


def test_the_text_shows_speed_ratio_and_wait():
    text = as_text([measured(RESIDUAL_ON_2, 1.3, wait=0.0057)])
    for part in (
        "batch 32 a step, 3 rounds of 2 steps each",
        "32.0 (32.0..32.0)",
        "1.30 (1.30..1.30)",
        "0.57%",
    ):
        assert part in text
    assert text.endswith("verdict: REACHED")


def test_flags_change_what_is_measured():
    (case,) = cases_of(PROTOATTEND, "--batch_size=2", "--candidates=5", "--steps=3")
    assert (case.images, case.steps, case.sizes) == (7, 3, {"batch_size": 2, "candidates": 5})
    (case,) = cases_of(SLOTS, "--task=set_prediction", "--batch_size=2")
    assert (case.name, case.images, case.steps) == ("set_prediction", 2, 3)
    assert [case.name for case in cases_of(SLOTS)] == ["object_discovery", "set_prediction"]


def test_bfloat16_runs_only_where_it_is_computed():
    for benchmark in (SLOTS, PROTOATTEND):
        assert "ours_bf16" in benchmark.chosen("cpu", (2, 21), True)
        assert "ours_bf16" not in benchmark.chosen("cpu", (2, 21), False)
        assert "ours_bf16" not in benchmark.chosen("cpu", (1, 15), True)
    assert RESIDUAL.chosen("cpu", (1, 8, 1), False) == ("baseline", "ours_fp32")


def test_wrong_words_are_refused_by_name():
    assert named_variants("ours_bf16,baseline", SLOTS.variants) == ["baseline", "ours_bf16"]
    with pytest.raises(UsageError, match="'fastest'"):
        named_variants("fastest", SLOTS.variants)
    with pytest.raises(UsageError, match="larger than --images 8"):
        run(RESIDUAL, ["--batch_size", "9", "--images", "8", "--device", "cpu"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "benchmark, words",
    [
        pytest.param(RESIDUAL, ["--images=4"], marks=pytest.mark.pytorch),
        pytest.param(SLOTS, ["--task=set_prediction"], marks=pytest.mark.tensorflow),
        pytest.param(PROTOATTEND, ["--candidates=8"], marks=pytest.mark.tensorflow),
    ],
)
def test_a_small_run_measures_every_variant(benchmark, words, capsys):
    few = ["--device=cpu", "--batch_size=2", "--steps=1", "--repeats=2", "--json"]
    run(benchmark, [*few, "--variants=ours_fp32", *words])  # times of batches of two mean nothing
    (found,) = json.loads(capsys.readouterr().out)["cases"].values()
    for one in found["variants"].values():
        assert len(one["seconds"]) == 2 and min(one["seconds"]) > 0
        assert one["peak_memory_bytes"] > 1e8


def test_json_has_every_time():
    found = as_json([measured(RESIDUAL_ON_2, 1.3)])["cases"][""]
    assert len(found["variants"]["ours_fp32"]["seconds"]) == 3
    assert found["variants"]["ours_fp32"]["ratio"]["median"] == pytest.approx(1.3)
