"""Figures, checks and verdict of the benchmark, from made-up times."""

from __future__ import annotations

import pytest

from benchmarks.residual_attention_net.benchmark import Measurements, chosen_names, run
from benchmarks.residual_attention_net.figures import check_stated
from benchmarks.residual_attention_net.report import as_json, as_text, verdict
from benchmarks.residual_attention_net.variants import default_names
from benchmarks.shared.figures import floors, images_per_second, pair_ratios, spread
from benchmarks.shared.report import Verdict
from common.core.errors import UsageError

# At half of the stated rate the baseline is expected at 14 images/s: 32 images in 2.29 s.
HALF_RATE = 220e9
EXPECTED_SECONDS = 32 / 14.0


def answers(times, wait=0.0):
    return [
        {"seconds": time, "wait_seconds": wait, "loss": 2.0, "peak_memory": 2e9} for time in times
    ]


def measurements(baseline_seconds=EXPECTED_SECONDS, ratio=1.3, batch_size=32, device_kind="cpu"):
    return Measurements(
        batch_size=batch_size,
        steps=1,
        device_kind=device_kind,
        machine={
            "torch": "2.13.0+cpu",
            "device": "a CPU",
            "threads": 2,
            "rates": {"fp32": HALF_RATE},
            "bandwidth": 1e10,
            "operations_per_image": 6.5e9,
            "bytes_per_image": {"fp32": 1e8},
        },
        answers={
            "baseline": answers([baseline_seconds] * 3),
            "ours_fp32": answers([baseline_seconds / ratio] * 3, wait=0.01),
        },
        warm_up_seconds={"baseline": 5.0, "ours_fp32": 6.0},
    )


def test_median_lies_between_the_middle_two_of_an_even_number():
    assert spread([4.0, 1.0, 2.0, 3.0]).median == 2.5


def test_ratios_are_taken_pair_by_pair():
    # The machine slowed down between the pairs; each pair still says 2.
    ratios = pair_ratios([2.0, 20.0], [1.0, 10.0])
    assert (ratios.low, ratios.median, ratios.high) == (2.0, 2.0, 2.0)


def test_times_without_partners_make_no_ratio():
    with pytest.raises(ValueError, match="no pairs"):
        pair_ratios([1.0, 2.0], [1.0])


def test_speed_is_images_over_seconds():
    assert images_per_second(64, [2.0, 4.0, 1.0]).median == 32.0


def test_stated_figure_is_scaled_by_the_convolution_rate():
    check = check_stated(2, "baseline", 32, "cpu", HALF_RATE, 14.0)
    assert check.scaled == 14.0 and check.holds


@pytest.mark.parametrize("measured", [11.8, 32.4])
def test_a_baseline_beyond_the_tolerance_does_not_hold(measured):
    assert not check_stated(2, "baseline", 32, "cpu", HALF_RATE, measured).holds


def test_a_baseline_that_the_slower_convolutions_do_not_slow_holds():
    assert check_stated(2, "baseline", 32, "cpu", HALF_RATE, 28.0).deviation == 0.0


@pytest.mark.parametrize("batch_size, device_kind", [(64, "cpu"), (32, "gpu")])
def test_stated_figures_hold_for_their_batch_size_and_device_only(batch_size, device_kind):
    assert check_stated(2, "baseline", batch_size, device_kind, HALF_RATE, 1.0) is None


def test_floor_is_rate_over_need():
    assert floors({"fp32": 6e9}, 1e9, 2e9, {"fp32": 1e8}) == {"fp32": (3.0, 10.0)}


def test_a_reached_target_passes():
    assert verdict(measurements(ratio=1.26)) is Verdict.REACHED


def test_a_missed_target_fails():
    assert verdict(measurements(ratio=1.24)) is Verdict.MISSED


def test_a_slow_baseline_makes_a_good_ratio_inconclusive():
    assert verdict(measurements(baseline_seconds=2 * EXPECTED_SECONDS)) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("batch_size, device_kind", [(64, "cpu"), (32, "gpu")])
def test_an_unchecked_baseline_makes_a_good_ratio_inconclusive(batch_size, device_kind):
    found = measurements(ratio=9.0, batch_size=batch_size, device_kind=device_kind)
    assert verdict(found) is Verdict.INCONCLUSIVE


def test_without_a_set_ratio_nothing_is_reached():
    found = measurements()
    del found.answers["ours_fp32"]
    assert verdict(found) is Verdict.INCONCLUSIVE


def test_table_shows_speed_ratio_wait_and_check():
    text = as_text(measurements())
    assert "14.0 (14.0..14.0)" in text
    assert "1.30 (1.30..1.30)" in text
    assert "0.57 %" in text
    assert "scaled by 0.50 to 14.0; measured +0% beyond these (within 15%)" in text
    assert "floor in fp32: 33.8 images/s by operations" in text


def test_unchecked_baseline_is_said():
    assert "the baseline is unchecked" in as_text(measurements(batch_size=64))


def test_json_holds_every_pair():
    found = as_json(measurements())
    assert len(found["variants"]["ours_fp32"]["seconds"]) == 3
    assert found["variants"]["ours_fp32"]["ratio"]["median"] == pytest.approx(1.3)
    assert found["verdict"] == "REACHED"


def test_the_baseline_always_runs_first():
    assert chosen_names("ours_bf16,baseline", "cpu", "2.13.0") == ["baseline", "ours_bf16"]


def test_an_unknown_variant_is_refused_by_name():
    with pytest.raises(UsageError, match="'fastest'"):
        chosen_names("fastest", "cpu", "2.13.0")


def test_bfloat16_is_left_out_before_torch_2():
    assert default_names("cpu", (1, 8, 1)) == ("baseline", "ours_fp32")


def test_a_batch_larger_than_the_images_is_refused():
    with pytest.raises(UsageError, match="larger than --images 8"):
        run(["--batch_size", "9", "--images", "8", "--device", "cpu"])
