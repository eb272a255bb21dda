"""Cases, checks and verdict of the benchmark, from made-up times."""

from __future__ import annotations

import pytest

from benchmarks.shared.report import Verdict
from benchmarks.slot_attention.benchmark import (
    chosen_cases,
    chosen_variants,
    make_parser,
)
from benchmarks.slot_attention.cases import CASES, Case, check_stated, default_variants
from benchmarks.slot_attention.report import Measurements, as_json, as_text, verdict
from common.core.errors import UsageError

# At half of the stated rate the baseline is expected to take 0.7 s an image, batch 4.
HALF_RATE = 220e9
EXPECTED_SECONDS = 4 * 0.7
DISCOVERY = CASES["object_discovery"]


def answers(seconds, wait_share=0.0):
    return [
        {
            "seconds": seconds,
            "wait_seconds": wait_share * seconds,
            "loss": 0.3,
            "peak_memory": 1.5e9,
        }
    ] * 3


def measurements(
    baseline_seconds=EXPECTED_SECONDS,
    fp32=1.05,
    bf16=1.6,
    wait_share=0.001,
    memory=2.0e9,
    case=DISCOVERY,
    device_kind="cpu",
):
    return Measurements(
        case,
        device_kind,
        machine={
            "tensorflow": "2.21.0",
            "device": "a CPU",
            "threads": 2,
            "rates": {"fp32": HALF_RATE},
            "bandwidth": 1e10,
            "operations_per_image": 1.26e11,
            "bytes_per_image": {"fp32": 1e9},
        },
        answers={
            "baseline": answers(baseline_seconds),
            "ours_fp32": answers(baseline_seconds / fp32, wait_share),
            "ours_bf16": answers(baseline_seconds / bf16, wait_share),
        },
        warm_up_seconds={"baseline": 9.0, "ours_fp32": 9.0, "ours_bf16": 9.0},
        memory={"ours_fp32": memory},
    )


def test_reached_ratios_pass():
    assert verdict([measurements()]) is Verdict.REACHED


@pytest.mark.parametrize("slower", [{"fp32": 0.97}, {"bf16": 1.4}])
def test_one_ratio_below_its_target_is_a_miss(slower):
    assert verdict([measurements(**slower)]) is Verdict.MISSED


def test_a_missed_case_decides_over_a_reached_one():
    assert verdict([measurements(), measurements(fp32=0.9)]) is Verdict.MISSED


def test_a_baseline_off_its_stated_figure_is_inconclusive():
    assert verdict([measurements(baseline_seconds=2 * EXPECTED_SECONDS)]) is Verdict.INCONCLUSIVE


def test_an_inconclusive_case_keeps_the_whole_from_being_reached():
    off = measurements(baseline_seconds=2 * EXPECTED_SECONDS)
    assert verdict([measurements(), off]) is Verdict.INCONCLUSIVE


def test_waiting_for_data_is_a_miss():
    assert verdict([measurements(wait_share=0.06)]) is Verdict.MISSED
    assert "6.0% of a step waits for data" in as_text([measurements(wait_share=0.06)])


def test_too_much_memory_is_a_miss():
    assert verdict([measurements(memory=2.3e9)]) is Verdict.MISSED
    assert "2.30 GB at batch 8, the limit is 2.2 GB" in as_text([measurements(memory=2.3e9)])


def test_a_gpu_has_neither_stated_figures_nor_targets():
    assert verdict([measurements(fp32=0.5, device_kind="gpu")]) is Verdict.INCONCLUSIVE


def test_stated_seconds_are_scaled_by_the_convolution_rate():
    check = check_stated(2, "baseline", DISCOVERY, "cpu", HALF_RATE, 1 / 0.7)
    assert check.scaled == pytest.approx(1 / 0.7) and check.holds


@pytest.mark.parametrize(
    "seconds, holds", [(0.31, True), (0.30, False), (0.81, True), (0.83, False)]
)
def test_the_baseline_may_be_off_by_fifteen_percent_in_speed(seconds, holds):
    assert check_stated(2, "baseline", DISCOVERY, "cpu", HALF_RATE, 1 / seconds).holds is holds


@pytest.mark.parametrize("case", [Case("object_discovery", 2, 1), Case("set_prediction", 8, 1)])
def test_stated_figures_hold_for_their_batch_sizes_only(case):
    assert check_stated(2, "baseline", case, "cpu", HALF_RATE, 1.0) is None


def test_set_prediction_has_no_stated_figure_on_tensorflow_1():
    assert check_stated(1, "baseline", CASES["set_prediction"], "cpu", HALF_RATE, 1.0) is None


def test_the_text_shows_speed_ratio_memory_and_verdict():
    text = as_text([measurements()])
    assert "1.05 (1.05..1.05)" in text
    assert "stated 2.86 images/s at 440 GFLOP/s, scaled by 0.50 to 1.43" in text
    assert "peak memory at batch 8: ours_fp32 2.00 GB" in text
    assert text.endswith("verdict: REACHED")


def test_json_holds_every_pair_of_every_case():
    found = as_json([measurements()])["cases"]["object_discovery"]
    assert len(found["variants"]["ours_bf16"]["seconds"]) == 3
    assert found["variants"]["ours_bf16"]["ratio"]["median"] == pytest.approx(1.6)


def test_bfloat16_runs_only_where_it_is_computed():
    assert "ours_bf16" in default_variants(2, bfloat16=True)
    assert "ours_bf16" not in default_variants(2, bfloat16=False)
    assert "ours_bf16" not in default_variants(1, bfloat16=True)


def test_the_baseline_always_runs_first():
    assert chosen_variants("ours_bf16,baseline", "2.21.0", True) == ["baseline", "ours_bf16"]


def test_an_unknown_variant_is_refused_by_name():
    with pytest.raises(UsageError, match="'fastest'"):
        chosen_variants("fastest", "2.21.0", True)


def test_flags_change_what_is_measured():
    asked = make_parser().parse_args(["--task", "set_prediction", "--batch_size", "2"])
    assert chosen_cases(asked) == [Case("set_prediction", 2, CASES["set_prediction"].steps)]
    assert chosen_cases(make_parser().parse_args([])) == list(CASES.values())
