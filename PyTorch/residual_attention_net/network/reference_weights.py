"""Load the weights of the reference implementation, and of its port, into a network built here."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch

from common.core.errors import ZooError
from residual_attention_net.network.model import ResidualAttentionNetwork
from residual_attention_net.network.networks import NETWORKS, identifying_shapes
from residual_attention_net.network.safe_load import safe_load

__all__ = ["LoadReport", "load_reference_weights", "recognise", "safe_load", "state_dict_of"]

HEAD = ("fc.weight", "fc.bias")
PARALLEL_PREFIX = "module."
DEAD_SHORTCUT = ".conv4.weight"
BATCH_COUNTER = ".num_batches_tracked"
NAMES_SHOWN = 3
Tensors = Dict[str, torch.Tensor]


@dataclass(frozen=True)
class LoadReport:
    """What was loaded, and everything that was not taken as it stood, by name."""

    loaded: int
    prefix_stripped: str
    dropped: Tuple[str, ...]
    head_replaced: Tuple[str, ...]
    batch_counters_missing: Tuple[str, ...]

    def lines(self) -> List[str]:
        """Tell it, one fact a line."""
        told = [f"loaded {self.loaded} entries"]
        if self.prefix_stripped:
            told.append(f"stripped the prefix {self.prefix_stripped!r}")
        for what, names in (
            ("dropped, no forward pass uses them", self.dropped),
            ("left at its initialisation, a new head", self.head_replaced),
            ("left as they are, absent in the checkpoint", self.batch_counters_missing),
        ):
            if names:
                told.append(f"{what} ({len(names)}): {', '.join(names)}")
        return told


def state_dict_of(loaded: Any) -> Mapping[str, Any]:
    """Find the state_dict in what safe_load returned: itself, or under 'state_dict' or 'model'.

    Raises ZooError where there is none.
    """
    if isinstance(loaded, Mapping):
        for candidate in (loaded.get("state_dict"), loaded.get("model"), loaded):
            if _is_state_dict(candidate):
                return candidate
    raise ZooError(
        "the checkpoint holds no state_dict: give one that maps parameters' names to tensors, "
        "itself or under the key 'state_dict'"
    )


def _is_state_dict(candidate: Any) -> bool:
    return (
        isinstance(candidate, Mapping)
        and bool(candidate)
        and all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in candidate.items()
        )
    )


def load_reference_weights(
    network: ResidualAttentionNetwork, state_dict: Mapping[str, Any], replace_head: bool = False
) -> LoadReport:
    """Load a state_dict of the reference, of its port, or of this project, into `network`.

    The prefixes that data-parallel wrappers add are stripped; the shortcut weights `conv4` that
    the reference keeps in blocks with an identity shortcut are dropped. With replace_head the
    last layer stays as initialised, for another class count. Raises ZooError, and loads nothing,
    where names or shapes don't fit.
    """
    tensors, prefix = _without_prefix(state_dict_of(state_dict))
    own = network.state_dict()
    dropped = tuple(name for name in tensors if _is_dead_shortcut(name, own))
    head = HEAD if replace_head else ()
    counters = tuple(name for name in own if name.endswith(BATCH_COUNTER) and name not in tensors)
    given = OrderedDict(
        (name, value) for name, value in tensors.items() if name not in dropped + head
    )
    wanted = OrderedDict(
        (name, value) for name, value in own.items() if name not in counters + head
    )
    _check_fit(network, given, wanted)
    network.load_state_dict(given, strict=False)
    return LoadReport(len(given), prefix, dropped, head, counters)


def _without_prefix(state_dict: Mapping[str, torch.Tensor]) -> Tuple[Tensors, str]:
    prefix = ""
    while all(name.startswith(prefix + PARALLEL_PREFIX) for name in state_dict):
        prefix += PARALLEL_PREFIX
    return OrderedDict((name[len(prefix) :], value) for name, value in state_dict.items()), prefix


def _is_dead_shortcut(name: str, own: Mapping[str, torch.Tensor]) -> bool:
    """Tell whether `name` is a shortcut weight of a block that here has the identity."""
    block = name[: -len(DEAD_SHORTCUT)]
    return name.endswith(DEAD_SHORTCUT) and name not in own and block + ".conv3.weight" in own


def _check_fit(network: ResidualAttentionNetwork, given: Tensors, wanted: Tensors) -> None:
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        name for name in wanted if name in given and given[name].shape != wanted[name].shape
    ]
    if misshapen and set(misshapen) <= set(HEAD) and not missing + unexpected:
        classes = len(given["fc.weight"])
        raise ZooError(
            f"the checkpoint has {classes} classes, the network {network.num_classes}: build the "
            f"network for {classes}, or replace the head to train another"
        )
    problems = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    told = [f"{len(names)} {what} ({_first(names)})" for what, names in problems if names]
    if told:
        raise ZooError(
            "the checkpoint doesn't fit network {}: {}; {}".format(
                network.spec.name, ", ".join(told), _advice(network, given)
            )
        )


def _first(names: List[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


def _advice(network: ResidualAttentionNetwork, given: Tensors) -> str:
    found = recognise(given)
    if found is None:
        return "it looks like no network known here: choose another checkpoint"
    if found == (network.spec.name, network.spatial_dims):
        return "it looks like a damaged one of this network: choose another checkpoint"
    return f"it looks like network {found[0]} with spatial_dims {found[1]}: build that one"


def recognise(tensors: Mapping[str, torch.Tensor]) -> Optional[Tuple[str, int]]:
    """Return the name and spatial_dims of the network that a state_dict belongs to, if known."""
    fitting = []
    for spec in NETWORKS.values():
        for spatial_dims in (2, 3):
            shapes = identifying_shapes(spec, spatial_dims)
            if all(_shape(tensors, name) == shape for name, shape in shapes.items()):
                fitting.append((len(shapes), spec.name, spatial_dims))
    # A network's names are a part of those of one with more modules: the one with most fits.
    return max(fitting)[1:] if fitting else None


def _shape(tensors: Mapping[str, torch.Tensor], name: str) -> Tuple[int, ...]:
    if name not in tensors:
        return ()
    shape = tuple(tensors[name].shape)
    return shape[:1] + shape[2:] if name == "conv1.0.weight" else shape
