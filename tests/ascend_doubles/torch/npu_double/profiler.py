"""torch_npu.profiler, as far as a program calls it; the traces are empty."""

import enum
import json
import os

from npu_double import report


class ProfilerActivity(enum.Enum):
    """What is traced."""

    CPU = 0
    NPU = 1


class ProfilerLevel(enum.Enum):
    """How much."""

    Level0 = 0
    Level1 = 1
    Level2 = 2
    Level_none = 3


class AiCMetrics(enum.Enum):
    """Which counters."""

    PipeUtilization = 0
    ArithmeticUtilization = 1
    AiCoreNone = 2


class _ExperimentalConfig:
    """The further settings; only keywords that there are."""

    def __init__(
        self,
        profiler_level=ProfilerLevel.Level0,
        aic_metrics=AiCMetrics.AiCoreNone,
        l2_cache=False,
        data_simplification=True,
    ):
        if not isinstance(profiler_level, ProfilerLevel):
            raise TypeError("profiler_level expects a ProfilerLevel")
        self.profiler_level = profiler_level


def schedule(wait, warmup=0, active=1, repeat=0, skip_first=0):
    """The steps that are traced: a function of the step's number."""
    length = wait + warmup + active

    def is_active(step):
        step -= skip_first
        if step < 0 or (repeat and step // length >= repeat):
            return False
        return step % length >= wait + warmup

    return is_active


def tensorboard_trace_handler(dir_name, worker_name=None, analyse_flag=True):
    """Writes a trace to a folder."""

    def write(profiler):
        os.makedirs(dir_name, exist_ok=True)
        path = os.path.join(dir_name, f"{worker_name or os.getpid()}_ascend_pt.json")
        with open(path, "w") as stream:
            json.dump({"steps": profiler.traced}, stream)

    return write


class profile:  # noqa: N801
    """Traces the steps of its block."""

    def __init__(
        self,
        activities=None,
        schedule=None,
        on_trace_ready=None,
        record_shapes=False,
        profile_memory=False,
        with_stack=False,
        with_flops=False,
        with_modules=False,
        experimental_config=None,
    ):
        for activity in activities or ():
            if not isinstance(activity, ProfilerActivity):
                raise TypeError("activities are of torch_npu.profiler.ProfilerActivity")
        self._schedule, self._ready, self._step = schedule, on_trace_ready, 0
        self.traced = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        """Begins."""
        report.note("profiler starts")

    def step(self):
        """Ends a step."""
        if self._schedule is None or self._schedule(self._step):
            self.traced.append(self._step)
        self._step += 1

    def stop(self):
        """Ends, and hands the trace over."""
        if self._ready is not None:
            self._ready(self)
