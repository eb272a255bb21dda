"""Opens what a run needs: ranks, device, precision, data; for a checkpoint, as its run had them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional

from common.ascend.session import NpuOptions
from common.cards.model_card import read_card
from common.core.errors import ZooError
from common.data.labelled_images import DatasetSplits
from common.training.run import Subject
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.session import Session as RunSession
from common.training.tensorflow.session import open_chosen
from protoattend.data.datasets import EMBEDDED, dataset_of
from protoattend.network.architecture import Architecture
from protoattend.network.attention import IN_FLOAT32
from protoattend.options import DEFAULT_CANDIDATES, DEFAULT_SEED, Options

FOLDER = Path(__file__).resolve().parent
MODEL, TASK = "protoattend", "classification"
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
class Session(RunSession):
    """One rank's side of a run: its device and its data."""

    dataset: DatasetSplits

    def architecture(self) -> Architecture:
        """The network that flags and data ask for."""
        options = self.options
        return Architecture(
            options.encoder,
            self.dataset.image_shape,
            len(self.dataset.class_names),
            options.final_units,
            options.attention_dim,
            options.val_dim,
            options.normalization,
        )

    def subject(self, network: Architecture, **more: Any) -> Subject:
        """What the run log and the checkpoints say of the run; `more` belongs to its config."""
        dataset = self.dataset
        told = {
            "name": dataset.name,
            "predicate": dataset.predicate,
            "counts": dataset.counts,
            "manifest_sha256": dataset.manifest_sha256,
        }
        config = dict(self.options.config(), dataset=dataset.name, **more)
        return Subject(MODEL, TASK, MODEL, network.described(), told, config)


def open_session(options: Options, dataset: Optional[DatasetSplits] = None) -> Session:
    """Opens data, then the device.

    Args:
        dataset: what the options ask for, where it is open already.

    Raises:
        ZooError: a dataset, a device or a precision mode that can't be had.
    """
    chosen = tf_runtime.choose_run_device(
        options, read_card(FOLDER / "model.yaml").task(TASK).precision
    )
    dataset = dataset_of(options) if dataset is None else dataset
    tf_runtime.keep_in_float32(IN_FLOAT32)
    tf_runtime.keep_host_memory()
    # An NPU takes a list of operations that stay in float32 in mixed modes only.
    mixed = "mix" in str(chosen.precision.npu_precision_mode)
    mixlist = str(FOLDER / "network" / "npu_float32_operations.json") if mixed else ""
    device = open_chosen(
        chosen, options, options.folder, NpuOptions(modify_mixlist=mixlist), options.profiling
    )
    session = Session(options, device, chosen.precision, dataset)
    for notice in dataset.notices:
        session.say("note: " + notice)
    return session


def as_trained(options: Options, state: Dict[str, Any]) -> Options:
    """The options with what the flags leave open taken from a checkpoint's run."""
    config = state.get("config", {})
    dataset = options.dataset or config.get("dataset") or DEFAULT_DATASET
    taken = {
        name: config.get(name, default)
        for name, default in _TAKEN.items()
        if getattr(options, name) is None
    }
    data_url = None if dataset in EMBEDDED else options.data_url
    return dataclasses.replace(options, dataset=dataset, data_url=data_url, **taken)


def require_shape(session: Session, network: Architecture) -> None:
    """Raises ZooError where a checkpoint's network can't take the dataset's images."""
    have, want = session.dataset.image_shape, network.image_shape
    if tuple(have) != tuple(want):
        raise ZooError(
            f"the images of {session.dataset.name} are {_shape(have)}, the checkpoint's network "
            f"takes {_shape(want)}: give --img_size {want[0]} or the dataset it was trained on"
        )


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape))
