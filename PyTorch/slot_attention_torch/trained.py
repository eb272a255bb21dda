"""A trained network for images in memory: `from slot_attention_torch import load`."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np
import torch

from common.data.arrays import require_images, whole_batches
from common.training.stored_weights import find_weights
from common.training.torch.exporting import Exported
from slot_attention.network.architecture import GAUSSIAN
from slot_attention.network.choice import chosen_network
from slot_attention.options import SceneOptions
from slot_attention.tasks import FIGURES, MEANING
from slot_attention_torch.network.networks import network_of, scaled_pixels
from slot_attention_torch.session import load_weights


class TrainedNetwork:
    """A network with its weights, in evaluation mode.

    Attributes:
        task: object_discovery or set_prediction.
        resolution: height and width of its images.
    """

    def __init__(self, checkpoint: str, batch: int = 16, seed: int = 0) -> None:
        """Builds the network and loads the weights.

        Args:
            checkpoint: a run folder, a checkpoint in it, or packed weights (.npz).
            batch: images that pass at a time.
            seed: of the initial slots, where they are drawn.

        Raises:
            ZooError: no such checkpoint, or one that does not say what network it is of.
        """
        found = find_weights(checkpoint)
        known, self.task = found.network, str(found.state["task"])
        self.choice = chosen_network(SceneOptions(task=self.task), None, known)
        self.resolution, self.batch, self._seed = self.choice.resolution, batch, seed
        self.names = FIGURES[self.task].found
        network = network_of(self.task, self.choice)
        load_weights(network, found, self.task)
        self._outputs = _Outputs(network, self.names).eval()

    def __call__(self, images: np.ndarray) -> Dict[str, np.ndarray]:
        """What the network makes of images, uint8 (N, resolution, resolution, 3), by name.

        combined (N, H, W, 3), reconstructions (N, K, H, W, 3), masks (N, K, H, W, 1), slots
        (N, K, D) of object discovery; predictions (N, K, 19) and slots of set prediction.

        Raises:
            ZooError: images of another shape or type.
        """
        require_images(images, (self.resolution, self.resolution, 3))
        draws, parts = np.random.RandomState(self._seed), []
        for batch, count in whole_batches(images, self.batch):
            given = self._inputs(batch, draws).values()
            with torch.no_grad():
                values = self._outputs(*(torch.from_numpy(value) for value in given))
            parts.append([value[:count].numpy() for value in values])
        return {name: np.concatenate(part) for name, part in zip(self.names, zip(*parts))}

    def exported(self) -> Exported:
        """What `slot_attention_torch.export` writes of it."""
        draws = np.random.RandomState(self._seed)
        shape = (self.batch, self.resolution, self.resolution, 3)
        inputs = self._inputs(draws.randint(0, 256, shape).astype(np.uint8), draws)
        meaning = {name: MEANING[name] for name in (*inputs, *self.names)}
        facts = {"network": f"slot_attention/{self.task}", "meaning": meaning}
        return Exported(self._outputs, inputs, self.names, facts)

    def _inputs(self, images: np.ndarray, draws: Any) -> Dict[str, np.ndarray]:
        slots = self.choice.slots
        if slots.initial != GAUSSIAN:
            return {"images": images}
        noise = draws.standard_normal((self.batch, slots.count, slots.size))
        return {"images": images, "noise": noise.astype(np.float32)}


class _Outputs(torch.nn.Module):
    """Images of bytes (B, resolution, resolution, 3) and noise (B, K, D) to the named outputs."""

    def __init__(self, network: torch.nn.Module, names: Tuple[str, ...]) -> None:
        super().__init__()
        self.network, self._names = network, names

    def forward(self, images: torch.Tensor, noise: Any = None) -> Tuple[torch.Tensor, ...]:
        found = self.network(scaled_pixels(images), noise)
        return tuple(found[name] for name in self._names)
