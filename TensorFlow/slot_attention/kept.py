"""A trained network for images in memory, whatever framework computes it."""

from __future__ import annotations

import abc
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from common.data.arrays import require_images, whole_batches
from common.training.stored_weights import find_weights
from slot_attention.network.architecture import GAUSSIAN
from slot_attention.network.choice import chosen_network
from slot_attention.options import SceneOptions
from slot_attention.tasks import FIGURES, MEANING

Arrays = Mapping[str, np.ndarray]


class KeptNetwork(abc.ABC):
    """A network with its weights, in evaluation mode.

    Attributes:
        task: object_discovery or set_prediction.
        resolution: height and width of its images.
    """

    def __init__(self, checkpoint: str, batch: int = 1, seed: int = 0) -> None:
        """Finds the weights; a framework's class builds the network.

        Args:
            checkpoint: a run folder, a checkpoint in it, or packed weights (.npz).
            batch: images that pass at a time.
            seed: of the initial slots, where they are drawn.

        Raises:
            ZooError: no such checkpoint, or one that does not say what network it is of.
        """
        self.found = find_weights(checkpoint)
        known, self.task = self.found.network, str(self.found.state["task"])
        self.choice = chosen_network(SceneOptions(task=self.task), None, known)
        self.resolution, self.batch, self._seed = self.choice.resolution, batch, seed
        self.names = FIGURES[self.task].found
        self.shape = (batch, self.resolution, self.resolution, 3)
        slots = self.choice.slots
        drawn = slots.initial == GAUSSIAN
        self.noise_shape = (batch, slots.count, slots.size) if drawn else None

    def __call__(self, images: np.ndarray) -> Dict[str, np.ndarray]:
        """What the network makes of images, uint8 (N, resolution, resolution, 3), by name.

        combined (N, H, W, 3), reconstructions (N, K, H, W, 3), masks (N, K, H, W, 1), slots
        (N, K, D) of object discovery; predictions (N, K, 19) and slots of set prediction.

        Raises:
            ZooError: images of another shape or type.
        """
        require_images(images, self.shape[1:])
        draws, parts = np.random.RandomState(self._seed), []
        for batch, count in whole_batches(images, self.batch):
            values = self.computed(self._given(batch, draws))
            parts.append({name: values[name][:count] for name in self.names})
        return {name: np.concatenate([part[name] for part in parts]) for name in self.names}

    @abc.abstractmethod
    def computed(self, given: Arrays) -> Arrays:
        """Outputs by name of a batch of images and its noise."""

    def example(self) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
        """Inputs that an export is tried on, and the facts that are written beside it."""
        draws = np.random.RandomState(self._seed)
        inputs = self._given(draws.randint(0, 256, self.shape).astype(np.uint8), draws)
        meaning = {name: MEANING[name] for name in (*inputs, *self.names)}
        return inputs, {"network": f"slot_attention/{self.task}", "meaning": meaning}

    def _given(self, images: np.ndarray, draws: Any) -> Dict[str, np.ndarray]:
        if self.noise_shape is None:
            return {"images": images}
        noise = draws.standard_normal(self.noise_shape)
        return {"images": images, "noise": noise.astype(np.float32)}
