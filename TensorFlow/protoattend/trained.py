"""A trained network for images in memory: `from protoattend import load`."""

from __future__ import annotations

import functools
from typing import Optional

from common.data.labelled_images import LabelledImages
from common.training.tensorflow.exporting import Exported
from common.training.tensorflow.runtime import tf
from protoattend.kept import Decider
from protoattend.metrics.decisions import OUTPUTS
from protoattend.network.prototype_network import PrototypeNetwork, load_weights
from protoattend.passes import PrototypePasses


class TrainedNetwork(Decider):
    """A network with its weights and a database of candidates, in evaluation mode."""

    def __init__(
        self,
        checkpoint: str,
        batch: int = 1,
        candidates: Optional[LabelledImages] = None,
        data_path: Optional[str] = None,
    ) -> None:
        """Loads the weights and encodes the candidates; `batch` images pass at a time."""
        super().__init__(checkpoint, candidates, data_path)
        with tf.Graph().as_default() as graph:
            self.session = tf.Session(graph=graph)
            network = PrototypeNetwork(self.architecture)
            self._passes = PrototypePasses(network, self.candidates, batch)
            self.session.run(tf.local_variables_initializer())
            load_weights(self.session, network, self.found)
        self._passes.fill(self.session)
        self.decide = functools.partial(self._passes.decide, self.session)

    def exported(self) -> Exported:
        """What `protoattend.export` writes of it."""
        images, outputs = self._passes.tensors()
        return Exported(
            {"images": images},
            {name: outputs[name] for name in OUTPUTS},
            {"images": self.example(images.shape.as_list()[0])},
            self.facts(),
        )
