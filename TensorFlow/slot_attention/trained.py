"""A trained network for images in memory: `from slot_attention import load`."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np

from common.data.arrays import require_images, whole_batches
from common.training.stored_weights import find_weights
from common.training.tensorflow.exporting import Exported
from common.training.tensorflow.runtime import tf
from slot_attention.building import Task, built_network
from slot_attention.network.architecture import GAUSSIAN
from slot_attention.network.checkpoints import load_weights
from slot_attention.network.choice import chosen_network
from slot_attention.object_discovery import task as object_discovery
from slot_attention.options import Options
from slot_attention.set_prediction import task as set_prediction
from slot_attention.tasks import MEANING

TASKS: Dict[str, Task] = {
    task.TASK.figures.name: task.TASK for task in (object_discovery, set_prediction)
}


class TrainedNetwork:
    """A network with its weights, in evaluation mode.

    Attributes:
        task: object_discovery or set_prediction.
        resolution: height and width of its images.
    """

    def __init__(self, checkpoint: str, batch: int = 1, seed: int = 0) -> None:
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
        choice = chosen_network(Options(task=self.task), None, known)
        self.resolution, self._seed = choice.resolution, seed
        shape = (batch, choice.resolution, choice.resolution, 3)
        with tf.Graph().as_default() as graph:
            self._inputs = {"images": tf.placeholder(tf.uint8, shape)}
            if choice.slots.initial == GAUSSIAN:
                drawn = (batch, choice.slots.count, choice.slots.size)
                self._inputs["noise"] = tf.placeholder(tf.float32, drawn)
            network, _ = built_network(TASKS[self.task], choice)
            pixels = (tf.cast(self._inputs["images"], tf.float32) / 255.0 - 0.5) * 2.0
            made = network(pixels, self._inputs.get("noise"))
            self._outputs = {name: getattr(made, name) for name in TASKS[self.task].figures.found}
        self.session = tf.Session(graph=graph)
        load_weights(self.session, network, found, self.task)

    def __call__(self, images: np.ndarray) -> Dict[str, np.ndarray]:
        """What the network makes of images, uint8 (N, resolution, resolution, 3), by name.

        combined (N, H, W, 3), reconstructions (N, K, H, W, 3), masks (N, K, H, W, 1), slots
        (N, K, D) of object discovery; predictions (N, K, 19) and slots of set prediction.

        Raises:
            ZooError: images of another shape or type.
        """
        require_images(images, (self.resolution, self.resolution, 3))
        draws, parts = np.random.RandomState(self._seed), []
        for batch, count in whole_batches(images, self._inputs["images"].shape.as_list()[0]):
            values = self.session.run(self._outputs, self._fed(batch, draws))
            parts.append({name: value[:count] for name, value in values.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def exported(self) -> Exported:
        """What `slot_attention.export` writes of it."""
        draws = np.random.RandomState(self._seed)
        pixels = draws.randint(0, 256, self._inputs["images"].shape.as_list()).astype(np.uint8)
        fed = self._fed(pixels, draws)
        meaning = {name: MEANING[name] for name in (*self._inputs, *self._outputs)}
        return Exported(
            self._inputs,
            self._outputs,
            {name: fed[tensor] for name, tensor in self._inputs.items()},
            {"network": f"slot_attention/{self.task}", "meaning": meaning},
        )

    def _fed(self, images: np.ndarray, draws: Any) -> Dict[Any, np.ndarray]:
        fed = {self._inputs["images"]: images}
        if "noise" in self._inputs:
            noise = self._inputs["noise"]
            fed[noise] = draws.standard_normal(noise.shape.as_list()).astype(np.float32)
        return fed
