"""Opens what a run needs: ranks, device, precision, data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional

from common.ascend.flags import npu_options
from common.ascend.session import NpuOptions
from common.cards.model_card import read_card
from common.core.errors import ZooError
from common.data.labelled_images import DatasetSplits
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.training.tensorflow import runtime as tf_runtime
from protoattend.data.datasets import dataset_of
from protoattend.network.architecture import Architecture
from protoattend.network.attention import IN_FLOAT32
from protoattend.options import Options

FOLDER = Path(__file__).resolve().parent
CARD = FOLDER / "model.yaml"
NPU_MIXLIST = FOLDER / "network" / "npu_float32_operations.json"
MODEL, TASK = "protoattend", "classification"


@dataclasses.dataclass(frozen=True)
class Session:
    """One rank's side of a run: its device and its data."""

    options: Options
    device: Any
    precision: Precision
    dataset: DatasetSplits

    @property
    def place(self) -> Place:
        """Which rank this is."""
        return self.device.place

    def say(self, line: str) -> None:
        """Tells the user, once and not per rank."""
        if self.place.rank == 0:
            print(line, flush=True)

    def dataset_record(self) -> Dict[str, Any]:
        """The dataset as the run record has it."""
        return {
            "name": self.dataset.name,
            "predicate": self.dataset.predicate,
            "counts": self.dataset.counts,
            "manifest_sha256": self.dataset.manifest_sha256,
        }

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


def open_session(options: Options, dataset: Optional[DatasetSplits] = None) -> Session:
    """Opens data, then the device.

    Args:
        dataset: what the options ask for, where it is open already.

    Raises:
        ZooError: a dataset, a device or a precision mode that can't be had.
    """
    kind, place, precision = tf_runtime.choose_run_device(
        options, read_card(CARD).task(TASK).precision
    )
    dataset = dataset_of(options) if dataset is None else dataset
    tf_runtime.keep_in_float32(IN_FLOAT32)
    tf_runtime.keep_host_memory()
    asked = NpuOptions(modify_mixlist=_npu_mixlist(precision))
    device = tf_runtime.open_device(
        kind,
        place,
        precision,
        npu_options(
            options, precision, Path(options.folder or "."), place, asked, options.profiling
        ),
    )
    session = Session(options, device, precision, dataset)
    for notice in dataset.notices:
        session.say("note: " + notice)
    return session


def _npu_mixlist(precision: Precision) -> str:
    """The list of operations that stay in float32; an NPU takes one in mixed modes only."""
    return str(NPU_MIXLIST) if "mix" in str(precision.npu_precision_mode) else ""


def require_shape(session: Session, architecture: Architecture) -> None:
    """Raises ZooError where a checkpoint's network can't take the dataset's images."""
    have, want = session.dataset.image_shape, architecture.image_shape
    if tuple(have) != tuple(want):
        raise ZooError(
            f"the images of {session.dataset.name} are {_shape(have)}, the checkpoint's "
            f"network takes {_shape(want)}: give "
            f"--img_size {want[0]} or the dataset it was trained on"
        )


def _shape(shape: Any) -> str:
    return "x".join(str(size) for size in shape)
