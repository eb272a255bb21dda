"""Puts stored weights into the networks."""

from __future__ import annotations

from typing import Any

from common.training.stored_weights import FoundCheckpoint, StoredWeights
from common.training.tensorflow.weights import load_stored, named_weights
from slot_attention.network.stored import ADVICE, key_in


def load_weights(session: Any, network: Any, found: FoundCheckpoint, task: str) -> None:
    """Puts a checkpoint's weights into a network whose variables are built.

    Raises:
        ZooError: damaged, of the other task, or of a network of other sizes.
    """
    stored = StoredWeights(found.prefix)
    key = key_in(stored, task)
    weights = {key(path): weight for path, weight in named_weights(network).items()}
    load_stored(session, stored, weights, ADVICE)
