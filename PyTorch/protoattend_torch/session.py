"""Opens what a run needs: device, ranks, precision, network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from common.cards.model_card import read_card
from common.data.labelled_images import DatasetSplits
from common.training.stored_weights import FoundCheckpoint
from common.training.torch import runtime as torch_runtime
from common.training.torch.exchanged import keras_weights, put_weights
from common.training.torch.session import Session as RunSession
from protoattend.network.checkpoints import stored_weights
from protoattend.runs import TASK
from protoattend_torch.network import PrototypeNetwork
from protoattend_torch.options import Options

MODEL = "protoattend_torch"
CARD = Path(__file__).resolve().parent / "model.yaml"


@dataclasses.dataclass(frozen=True)
class Session(RunSession):
    """One rank's side of a run: its device and its data."""

    dataset: DatasetSplits

    def placed(self, network: PrototypeNetwork) -> PrototypeNetwork:
        """A network on the device, in the run's precision and the fastest layout."""
        network = torch_runtime.place_model(network, self.device, self.precision)
        if torch_runtime.channels_last_pays(self.device.kind):
            network = network.to(memory_format=torch.channels_last)
        return network


def open_session(options: Options, dataset: DatasetSplits) -> Session:
    """Opens the device and joins its ranks; ZooError for one, or a mode, that can't be had."""
    modes = read_card(CARD).task(TASK).precision
    chosen = torch_runtime.choose_run_device(options, modes)
    device = torch_runtime.open_run_device(chosen, options.random_seed)
    session = Session(options, device, chosen.precision, chosen.place, dataset)
    for notice in dataset.notices:
        session.say("note: " + notice)
    return session


def load_weights(
    network: PrototypeNetwork, found: FoundCheckpoint, encoder_alone: bool = False
) -> None:
    """Puts a checkpoint's weights into a network, or its encoder's; see stored_weights."""
    shapes = {path: list(value.shape) for path, value in keras_weights(network).items()}
    put_weights(network, stored_weights(found, shapes, encoder_alone))
