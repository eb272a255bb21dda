"""Double of torch_npu for torch 2; ASCEND_DOUBLE_TORCH_NPU says which package."""

import os
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
    tensors,
)
from npu_double.fused_sgd import FusedSGD  # noqa: E402
from npu_double.options import options  # noqa: E402

__version__ = os.environ.get("ASCEND_DOUBLE_TORCH_NPU", "2.1.0.post3")

machine.require_cann()
if not torch.__version__.startswith("2."):
    raise ImportError(f"torch_npu {__version__} is made for torch 2, not {torch.__version__}")


def _submodule(name, **content):
    module = types.ModuleType(__name__ + "." + name)
    module.__dict__.update(content)
    sys.modules[module.__name__] = module
    return module


class _Hf32:
    """npu.conv or npu.matmul: allow_hf32 is the option of set_option by another name."""

    def __init__(self, operation):
        self.__dict__["_operation"] = operation

    @property
    def allow_hf32(self):
        """Whether inputs are read in HF32."""
        return options.allows_hf32(self._operation)

    def __setattr__(self, name, value):
        if name != "allow_hf32":
            raise AttributeError(f"there is no {name}")
        if not isinstance(value, bool):
            raise TypeError("allow_hf32 expects a bool")
        options.set({f"ALLOW_{self._operation}_HF32": "enable" if value else "disable"})


class _Config:
    """npu.config."""

    allow_internal_format = True


class NpuFusedSGD(FusedSGD):
    """The fused optimizer of this generation."""

    is_fused_optimizer = True

    def clip_grad_norm_fused_(self, max_norm, norm_type):
        """Clips all gradients in their buffer."""
        return self._clip(max_norm, norm_type)


torch.utils.rename_privateuse1_backend("npu")
tensors.reset(2)
tensors.State.make_device = device.make_device_of_torch_2
patches.install()
hccl.install()

npu = _submodule("npu", **device.names())
npu.get_device_name = device.get_device_name
npu.get_rng_state, npu.set_rng_state = device.get_rng_state, device.set_rng_state
npu._is_in_bad_fork = lambda: False
npu.amp = _submodule(
    "npu.amp",
    autocast=amp.Autocast,
    GradScaler=amp.GradScaler,
    custom_fwd=lambda function=None, **named: function,
    custom_bwd=lambda function: function,
)
npu.conv, npu.matmul, npu.config = _Hf32("CONV"), _Hf32("MATMUL"), _Config()
NpuFusedSGD.__module__ = __name__ + ".optim"
optim = _submodule("optim", NpuFusedSGD=NpuFusedSGD)
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
npu_format_cast, get_npu_format = formats.npu_format_cast, formats.get_npu_format


def _moved(name):
    def refuse(*arguments, **named):
        raise RuntimeError(
            f"torch.{name} is deprecated and will be removed in future version. Use "
            f"torch_npu.{name} instead."
        )

    return refuse


torch.npu = npu
for _name in ("npu_format_cast", "get_npu_format"):
    setattr(torch, _name, _moved(_name))
