"""A profile of a few training steps, by whichever profiler torch or torch_npu has."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Optional

from common.core.errors import UsageError
from common.core.files import make_folder
from common.training.torch.runtime import TorchDevice, npu_module

WAIT, WARMUP, ACTIVE = 8, 2, 3
LEAST_STEPS = WAIT + WARMUP + ACTIVE


def require_steps(steps: int) -> None:
    """Raises UsageError where a run of so many steps ends before its profile is whole."""
    if steps < LEAST_STEPS:
        raise UsageError(
            f"--profiling needs at least {LEAST_STEPS} steps, of which the last {ACTIVE} are "
            f"watched, and this run has {steps}; give more, or leave --profiling out"
        )


class StepProfiler:
    """Profiles ACTIVE steps, the first ones left out; does nothing without a folder.

    The steps' traces are files for TensorBoard and chrome://tracing (torch, torch_npu from 5.0.rc2
    on), else CANN's own profile, for its msprof.
    """

    def __init__(self, device: TorchDevice, folder: Optional[Path]) -> None:
        self._device, self._folder = device, folder
        self._steps = 0
        self._running: Any = None

    def step(self) -> None:
        """Call after each training step."""
        if self._folder is None:
            return
        self._steps += 1
        if self._steps == WAIT:
            self._start(make_folder(self._folder, "--output_path"))
        elif self._running is not None:
            if hasattr(self._running, "step"):
                self._running.step()
            if self._steps == LEAST_STEPS:
                self.close()

    def close(self) -> None:
        """Writes what was seen, if training ends while it is watched."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running, self._folder = None, None

    def _start(self, folder: Path) -> None:
        module, kind = _profiler_module(self._device), self._device.kind
        if module is None:
            self._running = npu_module().profile(profiler_result_path=str(folder))
        else:
            known = module.ProfilerActivity
            accelerator = {"npu": ["NPU"], "gpu": ["CUDA"], "cpu": []}[kind]
            self._running = module.profile(
                activities=[known.CPU, *(getattr(known, name) for name in accelerator)],
                schedule=module.schedule(wait=0, warmup=WARMUP, active=ACTIVE, repeat=1),
                on_trace_ready=module.tensorboard_trace_handler(str(folder)),
            )
        self._running.__enter__()


def _profiler_module(device: TorchDevice) -> Any:
    """torch.profiler, torch_npu.profiler, or None where torch_npu has only its older one."""
    name = "torch_npu.profiler" if device.kind == "npu" else "torch.profiler"
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
