"""A trained network for images in memory: `from slot_attention_torch import load`."""

from __future__ import annotations

from typing import Any, Tuple

import torch

from common.training.torch.exporting import Exported
from slot_attention.kept import Arrays, KeptNetwork
from slot_attention_torch.network.networks import network_of, scaled_pixels
from slot_attention_torch.session import load_weights


class TrainedNetwork(KeptNetwork):
    """See KeptNetwork."""

    def __init__(self, checkpoint: str, batch: int = 16, seed: int = 0) -> None:
        super().__init__(checkpoint, batch, seed)
        network = network_of(self.task, self.choice)
        load_weights(network, self.found, self.task)
        self._outputs = _Outputs(network, self.names).eval()

    def computed(self, given: Arrays) -> Arrays:
        with torch.no_grad():
            values = self._outputs(*(torch.from_numpy(value) for value in given.values()))
        return {name: value.numpy() for name, value in zip(self.names, values)}

    def exported(self) -> Exported:
        """What `slot_attention_torch.export` writes of it."""
        inputs, facts = self.example()
        return Exported(self._outputs, inputs, self.names, facts)


class _Outputs(torch.nn.Module):
    """Images of bytes (B, resolution, resolution, 3) and noise (B, K, D) to the named outputs."""

    def __init__(self, network: torch.nn.Module, names: Tuple[str, ...]) -> None:
        super().__init__()
        self.network, self._names = network, names

    def forward(self, images: torch.Tensor, noise: Any = None) -> Tuple[torch.Tensor, ...]:
        found = self.network(scaled_pixels(images), noise)
        return tuple(found[name] for name in self._names)
