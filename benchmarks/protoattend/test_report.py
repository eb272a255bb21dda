"""Case, checks and verdict of the benchmark, from made-up times."""

from __future__ import annotations

import pytest

from benchmarks.protoattend.benchmark import chosen_variants, make_parser
from benchmarks.protoattend.cases import STATED_CASE, Case, check_stated, default_variants
from benchmarks.protoattend.report import Measurements, as_json, as_text, over_stated, verdict
from benchmarks.shared.report import Verdict
from common.core.errors import UsageError

# At half of the stated rate the baseline is expected to take 10.8 s a step on TensorFlow 1.15.
HALF_RATE = 220e9
EXPECTED_SECONDS = 10.8


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
    version="1.15.0",
    baseline_seconds=EXPECTED_SECONDS,
    fp32=1.6,
    bf16=None,
    wait_share=0.001,
    case=STATED_CASE,
    device_kind="cpu",
):
    ours = {"ours_fp32": fp32} if bf16 is None else {"ours_fp32": fp32, "ours_bf16": bf16}
    return Measurements(
        case,
        device_kind,
        machine={
            "tensorflow": version,
            "device": "a CPU",
            "threads": 2,
            "rates": {"fp32": HALF_RATE},
            "bandwidth": 1e10,
            "operations_per_image": 3.2e8,
            "bytes_per_image": {"fp32": 8e6},
        },
        answers=dict(
            {"baseline": answers(baseline_seconds)},
            **{name: answers(baseline_seconds / ratio, wait_share) for name, ratio in ours.items()},
        ),
        warm_up_seconds=dict.fromkeys(["baseline"] + list(ours), 9.0),
    )


def current(seconds, **others):
    """On TensorFlow 2, where the baseline is twice as fast as stated for 1.15."""
    return measurements("2.21.0", EXPECTED_SECONDS / 2, EXPECTED_SECONDS / 2 / seconds, **others)


def test_the_reached_ratio_passes():
    assert verdict(measurements()) is Verdict.REACHED


def test_a_ratio_below_its_target_is_a_miss():
    assert verdict(measurements(fp32=1.49)) is Verdict.MISSED


def test_a_baseline_off_its_stated_figure_is_inconclusive():
    assert verdict(measurements(baseline_seconds=2 * EXPECTED_SECONDS)) is Verdict.INCONCLUSIVE


def test_later_versions_are_held_to_the_figure_of_tensorflow_1():
    assert verdict(current(EXPECTED_SECONDS / 2.51)) is Verdict.REACHED
    assert verdict(current(EXPECTED_SECONDS / 2.49)) is Verdict.MISSED


def test_there_the_fastest_of_ours_counts():
    found = current(EXPECTED_SECONDS / 2.0, bf16=1.3)
    assert over_stated(found) == {"ours_fp32": pytest.approx(2.0), "ours_bf16": pytest.approx(2.6)}
    assert verdict(found) is Verdict.REACHED


def test_there_the_baseline_is_held_to_nothing():
    assert check_stated(2, "baseline", STATED_CASE, "cpu", HALF_RATE, 1.0) is None


def test_waiting_for_data_is_a_miss():
    assert verdict(measurements(wait_share=0.06)) is Verdict.MISSED
    assert "6.0% of a step waits for data" in as_text(measurements(wait_share=0.06))


@pytest.mark.parametrize("version", ["1.15.0", "2.21.0"])
def test_a_gpu_has_neither_stated_figures_nor_targets(version):
    assert verdict(measurements(version, device_kind="gpu")) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("case", [Case(64, 1024), Case(128, 512)])
def test_the_stated_figure_holds_for_its_numbers_of_images_only(case):
    assert verdict(measurements(case=case)) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seconds, holds", [(4.6, False), (4.8, True), (12.6, True), (12.8, False)])
def test_the_baseline_may_be_off_what_is_stated_or_scaled_by_fifteen_percent(seconds, holds):
    speed = STATED_CASE.step_images / seconds
    assert check_stated(1, "baseline", STATED_CASE, "cpu", HALF_RATE, speed).holds is holds


def test_the_text_shows_seconds_ratio_and_verdict():
    text = as_text(measurements())
    assert "128 queries and 1024 candidates a step" in text
    assert "seconds a step: baseline 10.800, ours_fp32 6.750" in text
    assert "1.60 (1.60..1.60)" in text
    assert text.endswith("verdict: REACHED")


def test_the_text_shows_what_later_versions_make_of_the_stated_figure():
    assert "ours_fp32: 2.60 of TensorFlow 1.15's stated figure" in as_text(
        current(EXPECTED_SECONDS / 2.6)
    )


def test_json_holds_every_pair():
    found = as_json(measurements())
    assert len(found["variants"]["ours_fp32"]["seconds"]) == 3
    assert found["variants"]["ours_fp32"]["ratio"]["median"] == pytest.approx(1.6)


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
    asked = make_parser().parse_args(["--batch_size", "2", "--candidates", "5", "--steps", "3"])
    assert (asked.batch_size, asked.candidates, asked.steps) == (2, 5, 3)
