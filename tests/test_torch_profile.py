"""A profile of a few training steps: really on the CPU; on NPUs both generations, with doubles."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from common.core.errors import UsageError  # noqa: E402
from common.training.flags import profiling  # noqa: E402
from common.training.torch.profile import (  # noqa: E402
    ACTIVE,
    WAIT,
    WARMUP,
    StepProfiler,
    require_steps,
)
from common.training.torch.runtime import TorchDevice  # noqa: E402

pytestmark = pytest.mark.pytorch
ALL = WAIT + WARMUP + ACTIVE


def device(kind: str) -> TorchDevice:
    return TorchDevice(kind, 0, "", "", "", "", torch.device("cpu"))


def steps(profiler: StepProfiler, count: int) -> None:
    for _ in range(count):
        torch.ones(4, 4) @ torch.ones(4, 4)
        profiler.step()


def test_a_trace_of_the_later_steps_is_written(tmp_path: Path) -> None:
    profiler = StepProfiler(device("cpu"), tmp_path / "profile")
    steps(profiler, ALL - 1)
    assert not list(tmp_path.rglob("*.json"))
    steps(profiler, 5)
    traces = list(tmp_path.rglob("*.json"))
    assert len(traces) == 1 and "aten::" in traces[0].read_text()
    early = StepProfiler(device("cpu"), tmp_path / "early")
    steps(early, ALL - 1)
    early.close()
    assert list((tmp_path / "early").rglob("*.json"))


@pytest.mark.parametrize(
    "text, wanted",
    [("None", False), ("False", False), ("CANN", True), ("GE", True), ("true", True)],
)
def test_the_flag_is_understood_as_the_modelzoos_scripts_say_it(text: str, wanted: bool) -> None:
    assert profiling(text) is wanted
    with pytest.raises(argparse.ArgumentTypeError, match="expected true or false"):
        profiling("perhaps")


def test_a_run_with_too_few_steps_is_refused_with_the_least_number() -> None:
    require_steps(ALL)
    with pytest.raises(UsageError, match=f"at least {ALL} steps.*this run has {ALL - 1};"):
        require_steps(ALL - 1)
