"""The case file, the loss files and the last lines."""

import dataclasses
import math
import platform

import pytest

from common.launch.outcome import (
    CaseResult,
    broken_promises,
    case_text,
    final_lines,
    loss_text,
    losses_of,
)
from tests.test_launch_flags import TASK

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
EMPTY = dataclasses.replace(RESULT, samples_per_second=None, accuracy=None, loss=None)


def test_the_case_file_is_key_equals_value_and_the_last_lines_have_space_colon_space():
    assert case_text(RESULT) == (
        f"Network = fake_net\nRankSize = 8\nBatchSize = 32\nDeviceType = {platform.machine()}\n"
        "CaseName = fake_net_bs32_8p_acc\nActualFPS = 1280.00\nTrainingTime = 200.000\n"
        "TrainAccuracy = 94.13\nActualLoss = 0.250000\nE2ETrainingTime = 62\n"
    )
    assert final_lines(RESULT) == [
        "------------------ Final result ------------------",
        "Final Performance images/sec : 1280.00",
        "Final Performance sec/step : 0.200000",  # 8 * 32 samples: a step of all devices
        "Final Train Accuracy : 94.13",
        "E2E Training Duration sec : 62",
    ]
    fraction = dataclasses.replace(RESULT, accuracy=0.95134, accuracy_digits=4)
    assert final_lines(fraction)[3] == "Final Train Accuracy : 0.9513"


@pytest.mark.parametrize(
    "case, missing",
    [
        ("full_1p", ["ActualFPS", "TrainAccuracy"]),
        ("performance_1p", ["ActualFPS"]),
        ("eval_1p", ["TrainAccuracy"]),
    ],
)
def test_what_was_not_measured_is_na_and_each_kind_of_case_promises_its_figures(case, missing):
    values = [line.split(" = ")[1] for line in case_text(EMPTY).splitlines()]
    assert values[5:9] == ["NA"] * 4
    assert broken_promises(TASK.cases[case], EMPTY) == missing
    assert broken_promises(TASK.cases[case], RESULT) == []


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
