"""A profile of a few training steps: really on the CPU; on NPUs both generations, with doubles."""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path
from typing import Any, List

import pytest

torch = pytest.importorskip("torch")

from common.core.errors import UsageError  # noqa: E402
from common.training.torch import profile as torch_profile  # noqa: E402
from common.training.torch.profile import (  # noqa: E402
    ACTIVE,
    WAIT,
    WARMUP,
    StepProfiler,
    profiling,
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


def test_without_a_folder_nothing_is_watched(tmp_path: Path) -> None:
    profiler = StepProfiler(device("cpu"), None)
    steps(profiler, ALL + 1)
    profiler.close()
    assert not list(tmp_path.iterdir())


def test_the_new_profiler_of_an_npu_watches_its_operators(monkeypatch: Any, tmp_path: Path) -> None:
    calls: List[Any] = []
    module: Any = types.ModuleType("torch_npu.profiler")
    module.ProfilerActivity = types.SimpleNamespace(CPU="cpu", NPU="npu")
    module.schedule = lambda **words: words
    module.tensorboard_trace_handler = lambda folder: folder
    module.profile = lambda **words: calls.append(words) or FakeProfile(calls)
    package: Any = types.ModuleType("torch_npu")
    package.profiler = module
    monkeypatch.setitem(sys.modules, "torch_npu", package)
    monkeypatch.setitem(sys.modules, "torch_npu.profiler", module)
    steps(StepProfiler(device("npu"), tmp_path), ALL + 3)
    assert calls[0] == {
        "activities": ["cpu", "npu"],
        "on_trace_ready": str(tmp_path),
        "schedule": {"wait": 0, "warmup": WARMUP, "active": ACTIVE, "repeat": 1},
    }
    assert calls[1:] == ["enter"] + ["step"] * (WARMUP + ACTIVE) + ["exit"]


class FakeProfile:
    def __init__(self, calls: List[Any]) -> None:
        self.calls = calls

    def __enter__(self) -> None:
        self.calls.append("enter")

    def __exit__(self, *_: Any) -> None:
        self.calls.append("exit")

    def step(self) -> None:
        self.calls.append("step")


class OldProfile(FakeProfile):
    step = property()  # type: ignore[assignment]


def test_the_old_profiler_of_an_npu_is_entered_and_left(monkeypatch: Any, tmp_path: Path) -> None:
    calls: List[Any] = []
    old = types.SimpleNamespace(
        profile=lambda profiler_result_path: calls.append(profiler_result_path) or OldProfile(calls)
    )
    monkeypatch.setitem(sys.modules, "torch_npu", types.ModuleType("torch_npu"))
    monkeypatch.delitem(sys.modules, "torch_npu.profiler", raising=False)
    monkeypatch.setattr(torch_profile, "npu_module", lambda: old)
    steps(StepProfiler(device("npu"), tmp_path), ALL + 3)
    assert calls == [str(tmp_path), "enter", "exit"]


def test_a_run_that_ends_early_leaves_its_profile(tmp_path: Path) -> None:
    profiler = StepProfiler(device("cpu"), tmp_path)
    steps(profiler, ALL - 1)
    profiler.close()
    assert list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "text, wanted",
    [("None", False), ("False", False), ("CANN", True), ("GE", True), ("true", True)],
)
def test_the_flag_is_understood_as_the_modelzoos_scripts_say_it(text: str, wanted: bool) -> None:
    assert profiling(text) is wanted


def test_another_word_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected true or false"):
        profiling("perhaps")


def test_a_run_with_too_few_steps_is_refused_with_the_least_number() -> None:
    require_steps(ALL)
    with pytest.raises(UsageError, match=f"at least {ALL} steps.*this run has {ALL - 1};"):
        require_steps(ALL - 1)
