"""Opens a run around a checkpoint: its network, with data and device as the flags say."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Dict, Optional

from common.core.files import make_folder, sha256_of
from common.data.labelled_images import DatasetSplits
from common.training.checkpoints import STATE
from common.training.evaluation_run import output_folder
from common.training.run import Subject
from common.training.tensorflow.stored_weights import FoundCheckpoint, find_weights
from protoattend.data.datasets import EMBEDDED
from protoattend.gallery.page import GalleryHeader
from protoattend.metrics.measures import Summary
from protoattend.metrics.report import CandidateSet
from protoattend.network.architecture import Architecture, architecture_from
from protoattend.network.checkpoints import load_weights
from protoattend.network.prototype_network import PrototypeNetwork
from protoattend.options import DEFAULT_CANDIDATES, DEFAULT_SEED, Options
from protoattend.session import MODEL, TASK, Session, open_session, require_shape
from protoattend.split_evaluation import SplitEvaluation

DEFAULT_DATASET = "fashion_mnist"
# What a checkpoint's run tells where no flag does, else these.
_TAKEN = {
    "img_size": None,
    "num_classes": None,
    "validation_count": None,
    "random_seed": DEFAULT_SEED,
    "eval_cand_size": DEFAULT_CANDIDATES,
}


@dataclasses.dataclass(frozen=True)
class Restored:
    """A checkpoint with the session it is used in, and the folder to write to."""

    found: FoundCheckpoint
    session: Session
    architecture: Architecture
    folder: Path

    def build(self, running: Any) -> SplitEvaluation:
        """Builds the network and its passes in the default graph and loads the weights."""
        network = PrototypeNetwork(self.architecture)
        evaluation = SplitEvaluation(self.session, network)
        running.run(evaluation.initializer)
        load_weights(running, network, self.found)
        return evaluation

    def gallery_header(
        self, inputs: str, candidates: CandidateSet, whole: Optional[Summary] = None
    ) -> GalleryHeader:
        """What a gallery of this checkpoint's decisions says of its origin."""
        made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        # A checkpoint is named by its state, which names all its files, else by its index.
        file = Path(self.found.prefix)
        if not file.is_file():  # packed
            state = file.parent / STATE
            file = state if state.exists() else Path(self.found.prefix + ".index")
        return GalleryHeader(inputs, candidates, sha256_of(file), made, whole)

    def subject(self) -> Subject:
        """What the run log says of the run."""
        session, network = self.session, self.architecture.described()
        config = dict(session.options.config(), dataset=session.dataset.name)
        return Subject(MODEL, TASK, MODEL, network, session.dataset_record(), config)


def restore(
    options: Options, folder_name: str, dataset: Optional[DatasetSplits] = None
) -> Restored:
    """Finds --checkpoint, then opens data and device.

    Dataset, image size, candidates and network are the checkpoint's own, where it tells them.

    Args:
        folder_name: below the run's folder, where no other is given.
        dataset: the data, where the flags don't say it.

    Raises:
        ZooError: no such checkpoint, data or device; images that the network can't take.
    """
    checkpoint = str(options.checkpoint)
    found = find_weights(checkpoint)
    options = as_trained(options, found.state)
    folder = output_folder(options.train_url, checkpoint, folder_name)
    options = dataclasses.replace(options, train_url=folder)
    session = open_session(options, dataset)
    make_folder(Path(folder), "--output_path")
    told = found.state.get("network")
    architecture = architecture_from(told) if told else session.architecture()
    require_shape(session, architecture)
    return Restored(found, session, architecture, Path(folder))


def as_trained(options: Options, state: Dict[str, Any]) -> Options:
    """The options with what the flags leave open taken from the checkpoint's run."""
    config = state.get("config", {})
    dataset = options.dataset or config.get("dataset") or DEFAULT_DATASET
    taken = {
        name: config.get(name, default)
        for name, default in _TAKEN.items()
        if getattr(options, name) is None
    }
    data_url = None if dataset in EMBEDDED else options.data_url
    return dataclasses.replace(options, dataset=dataset, data_url=data_url, **taken)
