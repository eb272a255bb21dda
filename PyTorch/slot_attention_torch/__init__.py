"""Slot Attention in torch: slot_attention's twin, with its data, figures, weights and draws."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Optional

# Of a checkout, where what both share lies in the other framework's folder.
_SHARED = Path(__file__).resolve().parents[2] / "TensorFlow"
if _SHARED.is_dir() and str(_SHARED) not in sys.path:
    sys.path.append(str(_SHARED))
# torch would load torch_npu at its own import, which fails in a shell without CANN's variables;
# the runtime loads it where an NPU is asked for.
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def load(checkpoint: Optional[str] = None, batch: int = 16) -> Any:
    """A trained network for images in memory, see slot_attention_torch.trained.TrainedNetwork.

    Args:
        checkpoint: a run folder or a checkpoint in it, of either framework, or packed weights; by
            default the weights kept with the zoo, of set prediction on synthetic 3-D scenes.
        batch: images that pass at a time.
    """
    from common.cards.model_folders import kept_weights
    from slot_attention_torch.trained import TrainedNetwork

    return TrainedNetwork(checkpoint or kept_weights("slot_attention_set_prediction.npz"), batch)
