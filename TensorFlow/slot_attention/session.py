"""Opens what a run needs: ranks, device, precision, data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping, Optional

from common.cards.model_card import read_card
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.session import Session as RunSession
from common.training.tensorflow.session import open_chosen
from slot_attention.data.scenes import SceneDataset, SceneSource
from slot_attention.network.choice import NetworkChoice
from slot_attention.options import SET_PREDICTION, Options
from slot_attention.scene_run import SceneRun, open_scenes

CARD = Path(__file__).resolve().parent / "model.yaml"


@dataclasses.dataclass(frozen=True)
class Session(RunSession, SceneRun):
    """One rank's side of a run: its device, its network's sizes and its data."""

    choice: NetworkChoice
    dataset: SceneDataset


def open_session(
    options: Options,
    known: Optional[Mapping[str, Any]] = None,
    source: Optional[SceneSource] = None,
) -> Session:
    """Opens and prepares the data, see open_scenes, then opens the device.

    Raises:
        ZooError: a dataset, a device or a precision mode that can't be had.
    """
    chosen = tf_runtime.choose_run_device(options, read_card(CARD).task(options.task).precision)
    choice, dataset = open_scenes(options, chosen.place, known, source)
    # The matching of set prediction runs on the host, inside the step's graph.
    asked = {"mix_compile_mode": options.task == SET_PREDICTION}
    device = open_chosen(chosen, options, options.model_dir, asked, options.profile)
    return Session(options, device, chosen.precision, choice, dataset)
