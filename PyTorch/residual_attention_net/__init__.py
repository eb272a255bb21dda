"""Residual Attention Network (Wang et al., CVPR 2017), known upstream as 3d_attention_net."""

import os

# torch would load torch_npu at its own import, which fails in a shell without CANN's variables;
# the runtime loads it where an NPU is asked for.
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
