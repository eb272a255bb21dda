"""Opens what a run needs: ranks, device, precision, data, network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping, Optional

import torch

from common.cards.model_card import read_card
from common.training.stored_weights import FoundCheckpoint, StoredWeights
from common.training.torch import runtime as torch_runtime
from common.training.torch import step as torch_step
from common.training.torch.exchanged import draw_initial_weights, load_stored
from common.training.torch.session import Session as RunSession
from slot_attention.data.scenes import SceneDataset, SceneSource
from slot_attention.network.choice import NetworkChoice
from slot_attention.network.stored import ADVICE, key_in
from slot_attention.options import SceneOptions
from slot_attention.scene_run import SceneRun, open_scenes
from slot_attention_torch.network.networks import network_of
from slot_attention_torch.options import PACKAGE

CARD = Path(__file__).resolve().parent / "model.yaml"


@dataclasses.dataclass(frozen=True)
class Session(RunSession, SceneRun):
    """One rank's side of a run: its device, its network and its data."""

    choice: NetworkChoice
    dataset: SceneDataset
    network: torch.nn.Module
    model = PACKAGE


def open_session(
    options: SceneOptions,
    found: Optional[FoundCheckpoint] = None,
    source: Optional[SceneSource] = None,
) -> Session:
    """Opens and prepares the data, see open_scenes, then the device, and puts the network there.

    Args:
        found: whose weights it gets, to be evaluated; by default the first ones of the seed.

    Raises:
        ZooError: a dataset, a device or a precision mode that can't be had; weights that don't fit.
    """
    chosen = torch_runtime.choose_run_device(options, read_card(CARD).task(options.task).precision)
    known: Mapping[str, Any] = {} if found is None else found.state.get("network", {})
    choice, dataset = open_scenes(options, chosen.place, known, source)
    device = torch_runtime.open_run_device(chosen, options.seed)
    network = network_of(options.task, choice)
    if found is None:
        draw_initial_weights(network, options.seed)
    else:
        load_weights(network, found, options.task)
    placed = torch_runtime.place_model(network, device, chosen.precision)
    if torch_runtime.channels_last_pays(device.kind):  # kernels as the images lie in memory
        placed = placed.to(memory_format=torch.channels_last)
    if found is not None:
        placed = torch_step.prepare_evaluation(placed, chosen.precision).eval()
    return Session(options, device, chosen.precision, chosen.place, choice, dataset, placed)


def load_weights(network: torch.nn.Module, found: FoundCheckpoint, task: str) -> None:
    """Puts a checkpoint's weights, of either framework, into a network.

    Raises:
        ZooError: damaged, of the other task, or of a network of other sizes.
    """
    stored = StoredWeights(found.prefix)
    load_stored(network, stored, ADVICE, key_in(stored, task))
