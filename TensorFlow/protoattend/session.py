"""Opens what a run needs: ranks, device, precision."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from common.cards.model_card import read_card
from common.data.labelled_images import DatasetSplits
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.session import Session as RunSession
from common.training.tensorflow.session import open_chosen
from protoattend.network.attention import IN_FLOAT32
from protoattend.options import Options
from protoattend.runs import TASK

FOLDER = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Session(RunSession):
    """One rank's side of a run: its device and its data."""

    dataset: DatasetSplits


def open_session(options: Options, dataset: DatasetSplits) -> Session:
    """Opens the device; ZooError for one, or a precision mode, that can't be had."""
    chosen = tf_runtime.choose_run_device(
        options, read_card(FOLDER / "model.yaml").task(TASK).precision
    )
    tf_runtime.keep_in_float32(IN_FLOAT32)
    tf_runtime.keep_host_memory()
    # An NPU takes a list of operations that stay in float32 in mixed modes only.
    mixed = "mix" in str(chosen.precision.npu_precision_mode)
    mixlist = str(FOLDER / "network" / "npu_float32_operations.json") if mixed else ""
    device = open_chosen(
        chosen, options, options.folder, {"modify_mixlist": mixlist}, options.profiling
    )
    session = Session(options, device, chosen.precision, dataset)
    for notice in dataset.notices:
        session.say("note: " + notice)
    return session
