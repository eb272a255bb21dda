"""The case file and the loss files."""

import dataclasses
import math
import platform

import pytest

from common.cards.model_card import read_card
from common.launch.case_file import (
    CaseResult,
    broken_promises,
    case_text,
    final_lines,
    loss_text,
    losses_of,
)
from tests.fake_zoo import FAKE_MODEL

CASES = read_card(FAKE_MODEL / "PyTorch" / "fake_net" / "model.yaml").task(None).cases
RESULT = CaseResult(
    network="fake_net",
    world_size=8,
    batch_size=32,
    case_name="fake_net_bs32_8p_acc",
    samples_per_second=1280.0,
    accuracy=94.134,
    loss=0.25,
    seconds=61.6,
)


def test_the_case_file_is_key_equals_value():
    assert case_text(RESULT) == (
        f"Network = fake_net\nRankSize = 8\nBatchSize = 32\nDeviceType = {platform.machine()}\n"
        "CaseName = fake_net_bs32_8p_acc\nActualFPS = 1280.00\nTrainingTime = 200.000\n"
        "TrainAccuracy = 94.13\nActualLoss = 0.250000\nE2ETrainingTime = 62\n"
    )


def test_an_accuracy_that_is_a_fraction_has_four_decimals():
    fraction = dataclasses.replace(RESULT, accuracy=0.95134, accuracy_digits=4)
    assert "TrainAccuracy = 0.9513\n" in case_text(fraction)
    assert final_lines(fraction)[3] == "Final Train Accuracy : 0.9513"


def test_training_time_is_milliseconds_of_a_step_of_all_devices():
    assert RESULT.step_seconds == pytest.approx(8 * 32 / 1280.0)


def test_what_was_not_measured_is_na_and_never_empty():
    empty = dataclasses.replace(RESULT, samples_per_second=None, accuracy=None, loss=None)
    values = [line.split(" = ")[1] for line in case_text(empty).splitlines()]
    assert values[5:9] == ["NA"] * 4


def test_the_final_lines_have_space_colon_space():
    assert final_lines(RESULT) == [
        "------------------ Final result ------------------",
        "Final Performance images/sec : 1280.00",
        "Final Performance sec/step : 0.200000",
        "Final Train Accuracy : 94.13",
        "E2E Training Duration sec : 62",
    ]


@pytest.mark.parametrize(
    "case, missing",
    [
        ("full_1p", ["ActualFPS", "TrainAccuracy"]),
        ("performance_1p", ["ActualFPS"]),
        ("eval_1p", ["TrainAccuracy"]),
    ],
)
def test_each_kind_of_case_promises_its_figures(case, missing):
    empty = dataclasses.replace(RESULT, samples_per_second=None, accuracy=None)
    assert broken_promises(CASES[case], empty) == missing
    assert broken_promises(CASES[case], RESULT) == []


def test_losses_are_those_of_the_steps_in_order():
    events = [
        {"event": "start"},
        {"event": "step", "loss": 2.0},
        {"event": "step", "loss": "nan"},
        {"event": "evaluation", "metrics": {"loss": 9}},
    ]
    losses = losses_of(events)
    assert losses[0] == 2.0 and math.isnan(losses[1]) and len(losses) == 2
    assert loss_text([2.0, 0.5]) == "2.000000\n0.500000\n"
