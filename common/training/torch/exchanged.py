"""A torch network's weights as Keras names them: first values, and those of any checkpoint."""

from __future__ import annotations

from typing import Callable, Dict, Mapping

import numpy as np
import torch

from common.training.exchange import from_torch, to_torch
from common.training.initial_weights import GLOROT_UNIFORM, initial_value
from common.training.stored_weights import OWN, StoredWeights


def keras_weights(network: torch.nn.Module) -> Dict[str, np.ndarray]:
    """The weights of a network by attribute path, in Keras's layout."""
    weights = network.state_dict().items()
    return from_torch({name: value.detach().cpu().numpy() for name, value in weights})


def put_weights(network: torch.nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Gives a network values by attribute path, in Keras's layout; all, or some of them."""
    own = network.state_dict()
    with torch.no_grad():
        for name, value in to_torch(weights).items():
            own[name].copy_(torch.from_numpy(np.array(value)))


def draw_initial_weights(
    network: torch.nn.Module, seed: int, convolutions: str = GLOROT_UNIFORM
) -> None:
    """Gives every weight its first value, the same as in TensorFlow; see initial_value."""
    shapes = {path: value.shape for path, value in keras_weights(network).items()}
    put_weights(
        network,
        {path: initial_value(path, shape, seed, convolutions) for path, shape in shapes.items()},
    )


def load_stored(
    network: torch.nn.Module,
    stored: StoredWeights,
    advice: str,
    key: Callable[[str], str] = OWN.format,
    part: str = "",
) -> None:
    """Gives a network the weights of a checkpoint.

    Args:
        advice: see StoredWeights.values.
        key: of the weight at an attribute path. part: only paths that begin so.

    Raises:
        ZooError: the checkpoint is of another network, or damaged.
    """
    own = {path: one for path, one in keras_weights(network).items() if path.startswith(part)}
    values = stored.values({key(path): one.shape for path, one in own.items()}, advice)
    put_weights(network, {path: values[key(path)] for path in own})
