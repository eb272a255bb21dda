"""A trained network for images in memory: `from protoattend import load`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from common.cards.model_folders import kept_weights
from common.data.arrays import require_images
from common.data.labelled_images import DatasetSplits, LabelledImages
from common.training.packed_weights import SUFFIX
from common.training.stored_weights import FoundCheckpoint
from common.training.tensorflow.exporting import Exported
from common.training.tensorflow.runtime import tf
from protoattend.data.batches import evaluation_candidates
from protoattend.data.datasets import dataset_of
from protoattend.gallery.explained import Explained, explained, unlabelled
from protoattend.network.architecture import architecture_from
from protoattend.network.checkpoints import load_weights
from protoattend.network.prototype_network import PrototypeNetwork
from protoattend.options import EXPLAIN, parse_options
from protoattend.passes import PrototypePasses
from protoattend.session import as_trained

OUTPUTS: Dict[str, str] = {
    "class_weights": "the weight of the prototypes of each class: the confidence in it",
    "mixed_logits": "logits of the classes from the prototypes' mix; the largest is the decision",
    "top_candidates": "rows of the heaviest prototypes among the candidates",
    "top_weights": "their weights, which add up to 1 over all candidates",
}


class TrainedNetwork:
    """A network with its weights and a database of candidates, in evaluation mode.

    Attributes:
        classes: their names. image_shape: (height, width, channels).
        candidates: what it decides by.
    """

    def __init__(
        self, found: FoundCheckpoint, candidates: LabelledImages, batch: int = 1, scale: float = 1.0
    ) -> None:
        """Builds the network, loads the weights and encodes the candidates.

        Args:
            batch: images that pass at a time.
            scale: factor of the attention's logits; 1 is the paper's.

        Raises:
            ZooError: a checkpoint that does not say what network it is of, or candidates that the
                network can't take.
        """
        architecture = architecture_from(found.network)
        self.image_shape = tuple(architecture.image_shape)
        self.candidates, self.classes = candidates, tuple(candidates.classes)
        require_images(candidates.images, self.image_shape, "the candidates")
        with tf.Graph().as_default() as graph:
            self.session = tf.Session(graph=graph)
            network = PrototypeNetwork(architecture)
            self._passes = PrototypePasses(network, candidates, batch, scale)
            self.session.run(tf.local_variables_initializer())
            load_weights(self.session, network, found)
        self._passes.fill(self.session)

    def __call__(self, images: np.ndarray) -> List[Explained]:
        """Decides on images, uint8 (N, *image_shape): class, confidence and prototypes of each.

        Raises:
            ZooError: images of another shape or type, or none.
        """
        require_images(images, self.image_shape)
        given = unlabelled(images)
        decisions = self._passes.decide(self.session, given)
        return explained(decisions, given, self.candidates, self.classes)

    def exported(self) -> Exported:
        """What `protoattend.export` writes of it."""
        images, outputs = self._passes.exact()
        size = images.shape.as_list()
        rows = np.arange(size[0]) % len(self.candidates)
        meaning = dict(OUTPUTS, images="bytes; the network standardises them itself")
        return Exported(
            {"images": images},
            {name: outputs[name] for name in OUTPUTS},
            {"images": self.candidates.images[rows]},
            {"network": "protoattend", "classes": list(self.classes), "meaning": meaning},
        )


def candidates_of_run(found: FoundCheckpoint, data_path: str) -> LabelledImages:
    """The candidates that an evaluation of a checkpoint takes: out of its run's training images."""
    asked = parse_options(EXPLAIN, [f"--checkpoint={found.prefix}", f"--data_path={data_path}"])
    options = as_trained(asked, found.state)
    return evaluation_candidates(options, dataset_of(options).train)


def kept_candidates() -> LabelledImages:
    """1,024 training images of Fashion-MNIST: of the recorded evaluation of the kept weights."""
    return _kept_images(Path(kept_weights("protoattend_candidates.npz")))


def kept_dataset(checkpoint: str) -> Optional[DatasetSplits]:
    """What lies beside packed weights: their candidates to train on, some images to test on."""
    path = Path(checkpoint)
    path = path.with_name(f"{path.stem}_candidates.npz")
    if not (checkpoint.endswith(SUFFIX) and path.is_file()):
        return None
    tests = _kept_images(path, "test_")
    told = "train: the candidates kept with the weights; test: some test images kept with them"
    return DatasetSplits("images kept with the weights", _kept_images(path), tests, tests, told, "")


def _kept_images(path: Path, kind: str = "") -> LabelledImages:
    with np.load(str(path), allow_pickle=False) as kept:
        images, labels, names = (kept[kind + name] for name in ("images", "labels", "names"))
        return LabelledImages(images, labels, tuple(map(str, kept["classes"])), names)
