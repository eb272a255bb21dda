"""A trained network for images in memory: `from slot_attention import load`."""

from __future__ import annotations

from common.training.tensorflow.exporting import Exported
from common.training.tensorflow.runtime import tf
from slot_attention.building import built_network, load_weights
from slot_attention.kept import Arrays, KeptNetwork


class TrainedNetwork(KeptNetwork):
    """See KeptNetwork."""

    def __init__(self, checkpoint: str, batch: int = 1, seed: int = 0) -> None:
        super().__init__(checkpoint, batch, seed)
        with tf.Graph().as_default() as graph:
            self._inputs = {"images": tf.placeholder(tf.uint8, self.shape)}
            if self.noise_shape is not None:
                self._inputs["noise"] = tf.placeholder(tf.float32, self.noise_shape)
            network, _ = built_network(self.task, self.choice)
            pixels = (tf.cast(self._inputs["images"], tf.float32) / 255.0 - 0.5) * 2.0
            made = network(pixels, self._inputs.get("noise"))
            self._outputs = {name: getattr(made, name) for name in self.names}
        self.session = tf.Session(graph=graph)
        load_weights(self.session, network, self.found, self.task)

    def computed(self, given: Arrays) -> Arrays:
        fed = {self._inputs[name]: value for name, value in given.items()}
        return self.session.run(self._outputs, fed)

    def exported(self) -> Exported:
        """What `slot_attention.export` writes of it."""
        return Exported(self._inputs, self._outputs, *self.example())
