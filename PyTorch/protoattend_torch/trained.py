"""A trained network for images in memory: `from protoattend_torch import load`."""

from __future__ import annotations

from typing import Optional, Tuple

import torch

from common.data.labelled_images import LabelledImages
from common.training.torch.exporting import Exported
from protoattend.kept import Decider
from protoattend.metrics.decisions import OUTPUTS
from protoattend_torch.network import PrototypeNetwork
from protoattend_torch.passes import PrototypePasses
from protoattend_torch.session import load_weights


class TrainedNetwork(Decider):
    """A network with its weights and a database of candidates, on the processor."""

    def __init__(
        self,
        checkpoint: str,
        batch: int = 1,
        candidates: Optional[LabelledImages] = None,
        data_path: Optional[str] = None,
    ) -> None:
        """Loads the weights and encodes the candidates; `batch` images pass at a time."""
        super().__init__(checkpoint, candidates, data_path)
        network = PrototypeNetwork(self.architecture).eval()
        load_weights(network, self.found)
        self.batch, self.passes = batch, PrototypePasses(network, self.candidates, batch)
        self.passes.fill()
        self.decide = self.passes.decide

    def exported(self) -> Exported:
        """What `protoattend_torch.export` writes of it."""
        images = {"images": self.example(self.batch)}
        return Exported(_Exportable(self.passes).eval(), images, tuple(OUTPUTS), self.facts())


class _Exportable(torch.nn.Module):
    """Images of bytes to OUTPUTS, with the candidates inside."""

    def __init__(self, passes: PrototypePasses) -> None:
        super().__init__()
        self.network, self._passes = passes.network, passes

    def forward(self, images: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        found = self._passes.outputs(self.network.encode(images))
        return tuple(found[name] for name in OUTPUTS)
