"""Weights into a network: from a checkpoint of ours or from a state_dict as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from common.core.errors import ZooError
from common.training.torch.weights_file import is_checkpoint, load_any
from residual_attention_net.network.model import ResidualAttentionNetwork
from residual_attention_net.network.reference_weights import (
    LoadReport,
    load_reference_weights,
    state_dict_of,
)


def load_weights(
    network: ResidualAttentionNetwork, path: str, other_classes: bool = False
) -> LoadReport:
    """Loads the weights of a file into a network and tells what was done to them.

    Args:
        path: a checkpoint of this program's training, or a state_dict of the reference.
        other_classes: where the number of classes differs, leave the classifier (fc) as it is.

    Raises:
        ZooError: no such file, damaged, or of another network.
    """
    content = read_weights(Path(path))
    differs = _classes(state_dict_of(content)) not in (None, network.num_classes)
    return load_reference_weights(network, content, replace_head=other_classes and differs)


def network_identity(network: ResidualAttentionNetwork) -> Dict[str, Any]:
    """Which network it is, for how many classes: what a file of weights says of its own."""
    return {
        "network": network.spec.name,
        "num_classes": network.num_classes,
        "spatial_dims": network.spatial_dims,
        "input_channels": network.input_channels,
    }


def network_of(path: Path) -> Dict[str, Any]:
    """What a file of weights says of its network (name, classes, …); {} where it does not."""
    return network_told_by(read_weights(path))


def network_told_by(content: Any) -> Dict[str, Any]:
    """What a checkpoint says of its network (name, classes, …); {} for other weights."""
    return dict(content["network"]) if is_checkpoint(content) else {}


def _classes(weights: Mapping[str, Any]) -> Optional[int]:
    """The outputs of the classifier among these weights; None where there is none."""
    head = next((value for name, value in weights.items() if name.endswith("fc.weight")), None)
    return None if head is None else int(head.shape[0])


def read_weights(path: Path) -> Any:
    """A checkpoint or a state_dict, as --pth_path names it; ZooError where there is none."""
    if not path.exists():
        raise ZooError(f"--pth_path {path} is no file; give a checkpoint or a state_dict")
    return load_any(path)
