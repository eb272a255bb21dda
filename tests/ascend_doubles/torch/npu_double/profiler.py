"""torch_npu.profiler, as far as a program calls it; the traces are empty."""

import enum
import json
import os

from npu_double import report


class ProfilerActivity(enum.Enum):
    """What is traced."""

    CPU = 0
    NPU = 1


def schedule(wait, warmup=0, active=1, repeat=0, skip_first=0):
    """The steps that are traced, of one repetition: a function of the step's number."""
    first = skip_first + wait + warmup
    return lambda step: first <= step < first + active


def tensorboard_trace_handler(dir_name, worker_name=None, analyse_flag=True):
    """Writes a trace to a folder."""

    def write(profiler):
        os.makedirs(dir_name, exist_ok=True)
        with open(os.path.join(dir_name, f"{os.getpid()}_ascend_pt.json"), "w") as stream:
            json.dump({"steps": profiler.traced}, stream)

    return write


class profile:  # noqa: N801
    """Traces the steps of its block."""

    def __init__(self, activities=None, schedule=None, on_trace_ready=None, **more):
        if not all(isinstance(activity, ProfilerActivity) for activity in activities or ()):
            raise TypeError("activities are of torch_npu.profiler.ProfilerActivity")
        self._schedule, self._ready, self._step, self.traced = schedule, on_trace_ready, 0, []

    def __enter__(self):
        report.note("profiler starts")
        return self

    def step(self):
        """Ends a step."""
        if self._schedule is None or self._schedule(self._step):
            self.traced.append(self._step)
        self._step += 1

    def __exit__(self, *exception):
        if self._ready is not None:
            self._ready(self)
