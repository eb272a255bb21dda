"""Weights into a network: a checkpoint of ours, or a state_dict of the reference or its port."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import torch

from common.core.errors import ZooError
from common.training.torch.weights_file import is_checkpoint, load_any
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
Tensors = Mapping[str, torch.Tensor]


# --- files of weights ------------------------------------------------------------------------


def read_weights(path: str) -> Any:
    """A checkpoint or a state_dict, as --pth_path names it; ZooError where there is none."""
    if not Path(path).exists():
        raise ZooError(f"--pth_path {path} is no file; give a checkpoint or a state_dict")
    return load_any(Path(path))


def network_identity(network: ResidualAttentionNetwork) -> Dict[str, Any]:
    """Which network it is, for how many classes: what a file of weights says of its own."""
    return {
        "network": network.spec.name,
        "num_classes": network.num_classes,
        "spatial_dims": network.spatial_dims,
        "input_channels": network.input_channels,
    }


def network_told_by(content: Any) -> Dict[str, Any]:
    """What a checkpoint says of its network, as network_identity; {} for other weights."""
    return dict(content["network"]) if is_checkpoint(content) else {}


def shape_told_by(content: Any) -> Dict[str, Any]:
    """The same; of weights that say nothing what their shapes tell: all but the name."""
    told: Dict[str, Any] = {}
    for name, value in state_dict_of(content).items():
        if name.endswith("fc.weight"):
            told["num_classes"] = int(value.shape[0])
        if name.endswith("conv1.0.weight") and value.dim() in (4, 5):
            told.update(input_channels=int(value.shape[1]), spatial_dims=value.dim() - 2)
    return {**told, **network_told_by(content)}


def load_weights(
    network: ResidualAttentionNetwork, path: str, other_classes: bool = False
) -> List[str]:
    """Loads the weights of a file, see load_reference_weights.

    Args:
        other_classes: where the number of classes differs, leave the classifier (fc) as it is.
    """
    content = read_weights(path)
    differs = shape_told_by(content).get("num_classes") not in (None, network.num_classes)
    return load_reference_weights(network, content, replace_head=other_classes and differs)


# --- into a network --------------------------------------------------------------------------


def state_dict_of(loaded: Any) -> Tensors:
    """Find the state_dict in a file's content: itself, or under one of CONTAINERS.

    Raises ZooError where there is none.
    """
    return _found_in(loaded)[1]


def _found_in(loaded: Any) -> Tuple[str, Tensors]:
    """The key that the state_dict is under, "" where it is the whole, and the state_dict."""
    if isinstance(loaded, Mapping):
        for key in (*CONTAINERS, ""):
            found = loaded.get(key) if key else loaded
            if (
                isinstance(found, Mapping)
                and found
                and all(isinstance(name, str) for name in found)
                and all(isinstance(value, torch.Tensor) for value in found.values())
            ):
                return key, found
    raise ZooError(
        "the checkpoint holds no state_dict: give one that maps parameters' names to tensors, "
        f"itself or under one of the keys {', '.join(CONTAINERS)}"
    )


def load_reference_weights(
    network: ResidualAttentionNetwork, loaded: Any, replace_head: bool = False
) -> List[str]:
    """Load a state_dict of the reference, of its port, or of this project, into `network`.

    What wrappers add is taken off: the key it is under, prefixes, counters; the shortcut weights
    `conv4` that the reference keeps in blocks with an identity shortcut are dropped. With
    replace_head the last layer stays as initialised, for another class count.

    Returns what was loaded, then everything that was not taken as it stood, by name, a fact a
    line. Raises ZooError, and loads nothing, where names or shapes don't fit.
    """
    container, found = _found_in(loaded)
    counted = [name for name in found if name.rsplit(".", 1)[-1] in COUNTERS]
    tensors, prefix = _without_prefix(_without(found, counted))
    own = network.state_dict()
    dropped = [name for name in tensors if _is_dead_shortcut(name, own)]
    head = HEAD if replace_head else ()
    uncounted = [name for name in own if name.endswith(BATCH_COUNTER) and name not in tensors]
    given = _without(tensors, [*dropped, *head])
    _check_fit(network, given, _without(own, [*uncounted, *head]))
    network.load_state_dict(given, strict=False)
    told = [f"loaded {len(given)} entries"]
    if container not in PLAIN_CONTAINERS:
        told.append(f"taken from the checkpoint's {container!r}")
    if prefix:
        told.append(f"stripped the prefix {prefix!r}")
    for what, names in (
        ("dropped, a profiler's counters", counted),
        ("dropped, no forward pass uses them", dropped),
        ("left at its initialisation, a new head", head),
        ("left as they are, absent in the checkpoint", uncounted),
    ):
        told += [f"{what} ({len(names)}): {', '.join(names)}"] if names else []
    return told


def _without(tensors: Tensors, names: Iterable[str]) -> Dict[str, torch.Tensor]:
    left_out = set(names)
    return {name: value for name, value in tensors.items() if name not in left_out}


def _without_prefix(tensors: Tensors) -> Tuple[Tensors, str]:
    for one in PREFIXES:
        if tensors and all(name.startswith(one) for name in tensors):
            rest = {name[len(one) :]: value for name, value in tensors.items()}
            tensors, further = _without_prefix(rest)
            return tensors, one + further
    return tensors, ""


def _is_dead_shortcut(name: str, own: Tensors) -> bool:
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
        raise ZooError(
            f"the checkpoint has {len(given['fc.weight'])} classes, the network "
            f"{network.num_classes}: build the network for as many, or replace the head to train "
            "another"
        )
    problems = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    told = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for what, names in problems
        if names
    ]
    if told:
        found = recognise(given)
        advice = "it looks like no network known here: choose another checkpoint"
        if found == (network.spec.name, network.spatial_dims):
            advice = "it looks like a damaged one of this network: choose another checkpoint"
        elif found is not None:
            advice = f"it looks like network {found[0]} with spatial_dims {found[1]}: give that one"
        raise ZooError(
            f"the checkpoint doesn't fit network {network.spec.name}: {', '.join(told)}; {advice}"
        )


def recognise(tensors: Tensors) -> Optional[Tuple[str, int]]:
    """Return the name and spatial_dims of the network that a state_dict belongs to, if known."""
    fitting = []
    for spec in NETWORKS.values():
        for spatial_dims in (2, 3):
            shapes = identifying_shapes(spec, spatial_dims)
            if all(_shape(tensors, name) == shape for name, shape in shapes.items()):
                fitting.append((len(shapes), spec.name, spatial_dims))
    # A network's names are a part of those of one with more modules: the one with most fits.
    return max(fitting)[1:] if fitting else None


def _shape(tensors: Tensors, name: str) -> Tuple[int, ...]:
    shape = tuple(tensors[name].shape) if name in tensors else ()
    return shape[:1] + shape[2:] if name == "conv1.0.weight" else shape
