"""A trained network in memory, the candidates of its run, the images kept with the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from common.cards.model_folders import kept_weights
from common.data.arrays import require_images
from common.data.labelled_images import DatasetSplits, LabelledImages
from common.training.stored_weights import SUFFIX, FoundCheckpoint, find_weights
from protoattend.data.batches import evaluation_candidates
from protoattend.data.datasets import dataset_of
from protoattend.gallery.explained import Explained, explained, unlabelled
from protoattend.metrics.decisions import OUTPUTS
from protoattend.network.architecture import architecture_from
from protoattend.options import DEFAULT_DATA, EXPLAIN, parse_options
from protoattend.runs import MODEL, Asked, as_trained, asked_for
from protoattend.splits import Decide


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


def asked_to_explain(options: Any) -> Asked:
    """See asked_for; where no data is named, and none lies by default, what is kept is taken."""
    named = options.dataset or options.data_url != DEFAULT_DATA or Path(DEFAULT_DATA).is_dir()
    kept = None if named else kept_dataset(str(options.checkpoint))
    return asked_for(options, "explanation", kept)


def _kept_images(path: Path, kind: str = "") -> LabelledImages:
    with np.load(str(path), allow_pickle=False) as kept:
        images, labels, names = (kept[kind + name] for name in ("images", "labels", "names"))
        return LabelledImages(images, labels, tuple(map(str, kept["classes"])), names)


class Decider:
    """What a trained network in memory has in either framework; see TrainedNetwork.

    Attributes:
        classes: their names. image_shape: (height, width, channels).
        candidates: what it decides by.
    """

    decide: Decide

    def __init__(
        self, checkpoint: str, candidates: Optional[LabelledImages], data_path: Optional[str]
    ) -> None:
        """Finds the checkpoint and its candidates.

        Args:
            checkpoint: a run folder, a checkpoint in it, or packed weights.
            candidates: what it decides by; by default those kept with the zoo.
            data_path: the data of its run, out of which candidates are taken instead.

        Raises:
            ZooError: no such checkpoint, one that does not say what network it is of, or candidates
                that the network can't take.
        """
        self.found = find_weights(checkpoint)
        self.architecture = architecture_from(self.found.network)
        self.image_shape = tuple(self.architecture.image_shape)
        if candidates is None:
            candidates = (
                candidates_of_run(self.found, data_path) if data_path else kept_candidates()
            )
        self.candidates, self.classes = candidates, tuple(candidates.classes)
        require_images(candidates.images, self.image_shape, "the candidates")

    def __call__(self, images: np.ndarray) -> List[Explained]:
        """Decides on images, uint8 (N, *image_shape): class, confidence and prototypes of each.

        Raises:
            ZooError: images of another shape or type, or none.
        """
        require_images(images, self.image_shape)
        given = unlabelled(images)
        return explained(self.decide(given), given, self.candidates, self.classes)

    def example(self, count: int) -> np.ndarray:
        """So many of the candidates' images, again and again."""
        return self.candidates.images[np.arange(count) % len(self.candidates)]

    def facts(self) -> Dict[str, Any]:
        """What a user of exported files has to know."""
        meaning = dict(OUTPUTS, images="bytes; the network standardises them itself")
        return {"network": MODEL, "classes": list(self.classes), "meaning": meaning}
