"""Double of torch_npu for torch 1.8.1, on a 910A; ASCEND_DOUBLE_TORCH_NPU says which package.

The 3.0 packages have neither torch_npu.optim nor torch_npu.profiler, 5.0.rc2 has both.
"""

import contextlib
import os
import sys
import types

import torch
from npu_double import amp, fused_sgd, hccl, report, tensors

__version__ = os.environ.get("ASCEND_DOUBLE_TORCH_NPU", "1.8.1.post2-5.0.rc2")

for _name in ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH"):
    if not os.environ.get(_name):
        raise ImportError(f"{_name} is not set: source CANN's set_env.sh first")


def _submodule(name, **content):
    module = types.ModuleType(__name__ + "." + name)
    module.__dict__.update(content)
    sys.modules[module.__name__] = module
    return module


class _Profile:
    """torch_npu.profiler.profile, as far as a program calls it; the trace is empty."""

    def __init__(self, activities=None, schedule=None, on_trace_ready=None, **more):
        self._schedule, self._ready, self._step, self.traced = schedule, on_trace_ready, 0, []

    def __enter__(self):
        report.note("profiler starts")
        return self

    def step(self):
        self.traced += [self._step] if self._schedule(self._step) else []
        self._step += 1

    def __exit__(self, *exception):
        self._ready(self)


def _schedule(wait, warmup=0, active=1, repeat=0, skip_first=0):
    first = skip_first + wait + warmup
    return lambda step: first <= step < first + active


def _handler(dir_name, worker_name=None, analyse_flag=True):
    def write(profiler):
        os.makedirs(dir_name, exist_ok=True)
        with open(os.path.join(dir_name, f"{os.getpid()}_ascend_pt.json"), "w") as stream:
            stream.write(str(profiler.traced))

    return write


def _set_device(device):
    tensors.State.device_index = tensors.index_of(device)
    report.note("set_device", index=tensors.State.device_index)


@contextlib.contextmanager
def _profile(profiler_result_path=None, use_e2e_profiler=False, config=None):
    report.note("profiler starts", folder=str(profiler_result_path))
    yield
    report.note("profiler stops")


tensors.install()
hccl.install()

# What every package of torch 1.8.1 has of ascend.md 3.2, as far as the product calls it.
npu = _submodule(
    "npu",
    is_available=lambda: tensors.device_count() > 0,
    device_count=tensors.device_count,
    set_device=_set_device,
    set_option=lambda given: report.note("set_option", options=dict(given)),
    synchronize=lambda device=None: None,
    memory_allocated=lambda device=None: 1 << 20,
    max_memory_allocated=lambda device=None: 1 << 21,
    manual_seed_all=lambda seed: tensors.generator.manual_seed(int(seed)),
    profile=_profile,
    amp=_submodule("npu.amp", autocast=amp.autocast, GradScaler=amp.GradScaler),
)
if "-3.0" not in __version__:
    optim = _submodule("optim", NpuFusedSGD=fused_sgd.TorchNpuFusedSGD)
    npu.get_device_name = lambda device=None: os.environ.get("ASCEND_DOUBLE_SOC", "Ascend910A")
    npu.get_rng_state = lambda device="npu": tensors.generator.get_state()
    npu.set_rng_state = lambda state, device="npu": tensors.generator.set_state(state)
    profiler = _submodule(
        "profiler",
        profile=_Profile,
        schedule=_schedule,
        tensorboard_trace_handler=_handler,
        ProfilerActivity=types.SimpleNamespace(CPU=0, NPU=1),
    )
torch.npu = npu
