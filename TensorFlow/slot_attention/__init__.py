"""Slot Attention (Locatello et al., NeurIPS 2020): object discovery and set prediction."""

from __future__ import annotations

from typing import Any, Optional


def load(checkpoint: Optional[str] = None, batch: int = 1) -> Any:
    """A trained network for images in memory, see slot_attention.trained.TrainedNetwork.

    Args:
        checkpoint: a run folder, a checkpoint in it, or packed weights; by default the weights kept
            with the zoo, of set prediction on synthetic 3-D scenes.
        batch: images that pass at a time.
    """
    from common.cards.model_folders import kept_weights
    from slot_attention.trained import TrainedNetwork

    return TrainedNetwork(checkpoint or kept_weights("slot_attention_set_prediction.npz"), batch)
