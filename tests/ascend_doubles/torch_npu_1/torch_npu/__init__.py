"""Double of torch_npu for torch 1.8.1; ASCEND_DOUBLE_TORCH_NPU says which package.

The 3.0 packages have neither torch_npu.optim nor torch_npu.profiler, 5.0.rc1 has the first,
5.0.rc2 both.
"""

import os
import re
import sys
import types
from pathlib import Path

import torch

sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "torch_shared"))

from npu_double import (  # noqa: E402
    amp,
    device,
    formats,
    hccl,
    machine,
    patches,
    profiler,
    report,
    tensors,
)
from npu_double.old_device import install_devices, make_device  # noqa: E402

__version__ = os.environ.get("ASCEND_DOUBLE_TORCH_NPU", "1.8.1.post2-3.0.rc3")

machine.require_cann()
if not torch.__version__.startswith("1.8.1"):
    raise ImportError(f"torch_npu {__version__} is made for torch 1.8.1, not {torch.__version__}")


def _build():
    """(major, minor, release candidate) of the package, 99 for a final one."""
    numbers = re.search(r"-(\d+)\.(\d+)(?:\.rc(\d+))?", __version__)
    if numbers is None:
        raise ImportError(f"ASCEND_DOUBLE_TORCH_NPU {__version__!r} names no package")
    return int(numbers.group(1)), int(numbers.group(2)), int(numbers.group(3) or 99)


def _submodule(name, **content):
    module = types.ModuleType(__name__ + "." + name)
    module.__dict__.update(content)
    sys.modules[module.__name__] = module
    return module


tensors.reset(1)
tensors.State.make_device = make_device
install_devices()
patches.install()
hccl.install()

npu = _submodule("npu", **device.names())
npu.amp = _submodule("npu.amp", autocast=amp.Autocast181, GradScaler=amp.GradScaler181)
npu.profile = device.profile
for _name in (
    "prof_init",
    "prof_start",
    "prof_stop",
    "prof_finalize",
    "iteration_start",
    "iteration_end",
    "make_replay_graph",
    "dump_enable",
    "profileConfig",
):
    setattr(npu, _name, lambda *arguments, _name=_name, **named: report.note(_name))
npu.native_device, npu.npu_device = "xla", "npu"
npu_format_cast, get_npu_format = formats.npu_format_cast, formats.get_npu_format

if _build() >= (5, 0, 1):
    from npu_double.fused_sgd import FusedSGD

    class NpuFusedSGD(FusedSGD):
        """The fused optimizer of this generation."""

        is_npu_fused_optimizer = True

        def clip_grad_norm_fused_(self, max_norm, norm_type):
            """Clips all gradients in their buffer."""
            return self._clip(max_norm, norm_type)

    NpuFusedSGD.__module__ = __name__ + ".optim"
    optim = _submodule("optim", NpuFusedSGD=NpuFusedSGD)
    npu.get_device_name = device.get_device_name
    npu.get_rng_state, npu.set_rng_state = device.get_rng_state, device.set_rng_state
if _build() >= (5, 0, 2):
    profiler = _submodule(
        "profiler",
        **{
            name: getattr(profiler, name)
            for name in (
                "profile",
                "schedule",
                "tensorboard_trace_handler",
                "ProfilerActivity",
                "ProfilerLevel",
                "AiCMetrics",
                "ExportType",
                "_ExperimentalConfig",
            )
        },
    )
else:
    del profiler

torch.npu = npu
for _name, _function in (("npu_format_cast", npu_format_cast), ("get_npu_format", get_npu_format)):
    setattr(torch, _name, _function)
