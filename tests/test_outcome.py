"""The case file, the loss files and the last lines."""

import dataclasses
import math
import platform
from types import SimpleNamespace

import attrs
import pytest

from common.launch.outcome import (
    broken_promises,
    case_values,
    final_lines,
    loss_text,
    losses_of,
)
from tests.test_launch_flags import TASK
from tests.test_plan import plan_of

PLAN = plan_of("full_8p")
RECORD = SimpleNamespace(
    speed=SimpleNamespace(samples_per_second=1280.0),
    metrics=SimpleNamespace(final={TASK.metric.name: 94.134}),
)
VALUES = case_values(PLAN, RECORD, [0.5, 0.25], 61.6)
EMPTY = case_values(PLAN, None, [], 1)


def test_the_case_file_has_every_key_and_the_last_lines_have_space_colon_space():
    assert dict(VALUES) == {
        "Network": "fake_net",
        "RankSize": "8",
        "BatchSize": "32",
        "DeviceType": platform.machine(),
        "CaseName": "fake_net_bs32_8p_acc",
        "ActualFPS": "1280.00",
        "TrainingTime": "200.000",
        "TrainAccuracy": "94.13",
        "ActualLoss": "0.250000",
        "E2ETrainingTime": "62",
    }
    assert final_lines(VALUES) == [
        "------------------ Final result ------------------",
        "Final Performance images/sec : 1280.00",
        "Final Performance sec/step : 0.200000",  # 8 * 32 samples: a step of all devices
        "Final Train Accuracy : 94.13",
        "E2E Training Duration sec : 62",
    ]
    task = attrs.evolve(TASK, metric=attrs.evolve(TASK.metric, unit="fraction"))
    plan = dataclasses.replace(PLAN, target=dataclasses.replace(PLAN.target, task=task))
    RECORD.metrics.final[TASK.metric.name] = 0.95134
    found = case_values(plan, RECORD, [], 1)
    assert final_lines(found)[3] == "Final Train Accuracy : 0.9513"


@pytest.mark.parametrize(
    "case, missing",
    [
        ("full_1p", ["ActualFPS", "TrainAccuracy"]),
        ("performance_1p", ["ActualFPS"]),
        ("eval_1p", ["TrainAccuracy"]),
    ],
)
def test_what_was_not_measured_is_na_and_each_kind_of_case_promises_its_figures(case, missing):
    assert list(EMPTY.values())[5:9] == ["NA"] * 4 and "NA" in final_lines(EMPTY)[2]
    assert broken_promises(TASK.cases[case], EMPTY) == missing
    assert broken_promises(TASK.cases[case], VALUES) == []


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
