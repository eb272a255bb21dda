"""Load the weights of the reference implementation, and of its port, into a network built here."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch

from common.core.errors import ZooError
from residual_attention_net.network.model import ResidualAttentionNetwork
from residual_attention_net.network.networks import NETWORKS, identifying_shapes

HEAD = ("fc.weight", "fc.bias")
CONTAINERS = ("state_dict", "model", "model_state_dict", "net", "network")  # of a checkpoint
PLAIN_CONTAINERS = ("", "state_dict", "model")  # those of this project and of the reference
# What wrappers put before every name: data parallelism, torch.compile, a module that holds ours.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
COUNTERS = ("total_ops", "total_params")  # of a profiler, which leaves them in the network
DEAD_SHORTCUT = ".conv4.weight"
BATCH_COUNTER = ".num_batches_tracked"
NAMES_SHOWN = 3
Tensors = Dict[str, torch.Tensor]


@dataclass(frozen=True)
class LoadReport:
    """What was loaded, and everything that was not taken as it stood, by name."""

    loaded: int
    container: str
    prefix_stripped: str
    counters: Tuple[str, ...]
    dropped: Tuple[str, ...]
    head_replaced: Tuple[str, ...]
    batch_counters_missing: Tuple[str, ...]

    def lines(self) -> List[str]:
        """Tell it, one fact a line."""
        told = [f"loaded {self.loaded} entries"]
        if self.container not in PLAIN_CONTAINERS:
            told.append(f"taken from the checkpoint's {self.container!r}")
        if self.prefix_stripped:
            told.append(f"stripped the prefix {self.prefix_stripped!r}")
        for what, names in (
            ("dropped, a profiler's counters", self.counters),
            ("dropped, no forward pass uses them", self.dropped),
            ("left at its initialisation, a new head", self.head_replaced),
            ("left as they are, absent in the checkpoint", self.batch_counters_missing),
        ):
            if names:
                told.append(f"{what} ({len(names)}): {', '.join(names)}")
        return told


def state_dict_of(loaded: Any) -> Mapping[str, Any]:
    """Find the state_dict in what a file held: itself, or under one of CONTAINERS.

    Raises ZooError where there is none.
    """
    return _found_in(loaded)[1]


def _found_in(loaded: Any) -> Tuple[str, Mapping[str, Any]]:
    """The state_dict and the key that it is under, "" where it is the whole."""
    if isinstance(loaded, Mapping):
        candidates = [(key, loaded.get(key)) for key in CONTAINERS] + [("", loaded)]
        for key, candidate in candidates:
            if (
                isinstance(candidate, Mapping)
                and candidate
                and all(
                    isinstance(name, str) and isinstance(value, torch.Tensor)
                    for name, value in candidate.items()
                )
            ):
                return key, candidate
    raise ZooError(
        "the checkpoint holds no state_dict: give one that maps parameters' names to tensors, "
        f"itself or under one of the keys {', '.join(CONTAINERS)}"
    )


def load_reference_weights(
    network: ResidualAttentionNetwork, loaded: Any, replace_head: bool = False
) -> LoadReport:
    """Load a state_dict of the reference, of its port, or of this project, into `network`.

    What wrappers add is taken off: the key it is under, prefixes, counters; the shortcut weights
    `conv4` that the reference keeps in blocks with an identity shortcut are dropped. With
    replace_head the last layer stays as initialised, for another class count. Raises ZooError, and
    loads nothing, where names or shapes don't fit.
    """
    container, found = _found_in(loaded)
    counted = tuple(name for name in found if name.rsplit(".", 1)[-1] in COUNTERS)
    tensors, prefix = _without_prefix(
        OrderedDict((name, value) for name, value in found.items() if name not in counted)
    )
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
    return LoadReport(len(given), container, prefix, counted, dropped, head, counters)


def _without_prefix(tensors: Tensors) -> Tuple[Tensors, str]:
    prefix = ""
    while tensors:
        one = next((one for one in PREFIXES if all(name.startswith(one) for name in tensors)), "")
        if not one:
            break
        prefix += one
        tensors = OrderedDict((name[len(one) :], value) for name, value in tensors.items())
    return tensors, prefix


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
