"""ProtoAttend (Arik and Pfister, JMLR 2020): decisions by a few prototypes, in TensorFlow."""

from __future__ import annotations

from typing import Any, Optional


def load(checkpoint: Optional[str] = None, candidates: Any = None, batch: int = 1) -> Any:
    """A trained network for images in memory, see protoattend.trained.TrainedNetwork.

    Args:
        checkpoint: a run folder, a checkpoint in it, or packed weights; by default the weights kept
            with the zoo, of Fashion-MNIST.
        candidates: LabelledImages that decisions are made by; by default those kept with the zoo.
        batch: images that pass at a time.
    """
    from common.cards.model_folders import kept_weights
    from protoattend.trained import TrainedNetwork

    return TrainedNetwork(checkpoint or kept_weights("protoattend.npz"), batch, candidates)
