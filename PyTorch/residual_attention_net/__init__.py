"""Residual Attention Network (Wang et al., CVPR 2017), known upstream as 3d_attention_net."""

from __future__ import annotations

import os
from typing import Any, Optional

# torch would load torch_npu at its own import, which fails in a shell without CANN's variables;
# the runtime loads it where an NPU is asked for.
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def load(
    pth_path: Optional[str] = None, network: Optional[str] = None, device_type: str = "cpu"
) -> Any:
    """A trained network for images in memory, see residual_attention_net.trained_network.

    Args:
        pth_path: a checkpoint of this program's training, or a state_dict as published; by default
            the weights kept with the zoo, of CIFAR-10.
        network: of what network a state_dict is; a checkpoint knows.
    """
    from common.cards.model_folders import kept_weights
    from residual_attention_net.trained_network import open_trained

    pth_path = pth_path or kept_weights("residual_attention_net.npz")
    return open_trained(pth_path, network, device_type)
