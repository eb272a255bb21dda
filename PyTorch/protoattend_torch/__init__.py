"""ProtoAttend (Arik and Pfister, JMLR 2020) in PyTorch: the twin of the TensorFlow network.

What knows no framework, data, metrics, gallery and options, is that network's own, `protoattend`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Optional

# torch would load torch_npu at its own import, which fails in a shell without CANN's variables;
# the runtime loads it where an NPU is asked for.
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
_SISTERS = Path(__file__).resolve().parents[2] / "TensorFlow"  # in a checkout
if _SISTERS.is_dir() and str(_SISTERS) not in sys.path:
    sys.path.insert(0, str(_SISTERS))


def load(checkpoint: Optional[str] = None, candidates: Any = None, batch: int = 1) -> Any:
    """A trained network for images in memory; see protoattend.load."""
    from common.cards.model_folders import kept_weights
    from protoattend_torch.trained import TrainedNetwork

    checkpoint = checkpoint or kept_weights("protoattend.npz")
    return TrainedNetwork(checkpoint, batch, candidates)
