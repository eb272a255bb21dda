"""Double of torch_npu for torch 1.8.1, on a 910A; ASCEND_DOUBLE_TORCH_NPU says which package.

The 3.0 packages have neither torch_npu.optim nor torch_npu.profiler, 5.0.rc1 has the first,
5.0.rc2 both.
"""

import os
import sys
import types

import torch
from npu_double import amp, device, fused_sgd, hccl, options, patches, profiler, tensors

__version__ = os.environ.get("ASCEND_DOUBLE_TORCH_NPU", "1.8.1.post2-5.0.rc2")

options.require_cann()
if not torch.__version__.startswith("1.8.1"):
    raise ImportError(f"torch_npu {__version__} is made for torch 1.8.1, not {torch.__version__}")


def _submodule(name, **content):
    module = types.ModuleType(__name__ + "." + name)
    module.__dict__.update((key, value) for key, value in content.items() if key[:2] != "__")
    sys.modules[module.__name__] = module
    return module


tensors.State.make_device = device.make_device
device.install_devices()
patches.install()
hccl.install()

npu = _submodule("npu", **device.NAMES)
npu.amp = _submodule("npu.amp", autocast=amp.Autocast, GradScaler=amp.GradScaler)
_old = "-3.0" in __version__
if not _old:
    optim = _submodule("optim", NpuFusedSGD=fused_sgd.TorchNpuFusedSGD)
    npu.get_device_name = lambda device=None: os.environ.get("ASCEND_DOUBLE_SOC", "Ascend910A")
    npu.get_rng_state, npu.set_rng_state = device.get_rng_state, device.set_rng_state
if not _old and not __version__.endswith("rc1"):
    profiler = _submodule("profiler", **vars(profiler))
else:
    del profiler
torch.npu = npu
