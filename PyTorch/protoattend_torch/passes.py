"""Decisions on the device: candidates are encoded once, queries pass in batches of one shape."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, ContextManager, Dict, List

import numpy as np
import torch
from torch.nn import functional

from common.data.arrays import whole_batches
from common.data.labelled_images import LabelledImages
from common.training.torch.step import without_autocast
from protoattend.metrics.decisions import PROTOTYPE_SHARES, Decisions
from protoattend.network.architecture import SPARSEMAX
from protoattend.network.parts import Encoded
from protoattend.splits import SHOWN, Splits
from protoattend_torch.network import (
    Projection,
    PrototypeNetwork,
    attention_logits,
    project,
)
from protoattend_torch.session import Session


class PrototypePasses:
    """A network in evaluation mode with a database of candidates.

    Images are padded to whole batches and the padding is cut off on the host: one shape for every
    pass. Memory is that of one batch: (batch, candidates) a few times.
    """

    def __init__(
        self,
        network: PrototypeNetwork,
        candidates: LabelledImages,
        batch: int,
        scale: float = 1.0,
        forward_context: Callable[[], ContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        """Encodes nothing yet, see `fill`; `scale` multiplies the attention's logits."""
        self.network, self.candidates, self.scale = network, candidates, scale
        self._batch, self._context = batch, forward_context
        self._device = next(network.parameters()).device
        labels = torch.from_numpy(candidates.labels.astype(np.int64)).to(self._device)
        self._labels = functional.one_hot(labels, network.architecture.classes).float()
        self._keys = self._values = torch.zeros(0)

    def fill(self) -> None:
        """Encodes the candidates into the database, with the weights of the moment."""
        parts = [
            self._encode(images) for images, _ in whole_batches(self.candidates.images, self._batch)
        ]
        count = len(self.candidates)
        self._keys = torch.cat([part.keys for part in parts])[:count]
        self._values = torch.cat([part.values for part in parts])[:count]

    def decide(self, queries: LabelledImages) -> Decisions:
        """Decides on every image, at least one; call fill before."""
        parts: List[Dict[str, np.ndarray]] = []
        for images, count in whole_batches(queries.images, self._batch):
            with torch.no_grad():
                found = self.outputs(self._encode(images))
            parts.append({name: value[:count].cpu().numpy() for name, value in found.items()})
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Decisions(labels=queries.labels, **found)

    def _encode(self, images: np.ndarray) -> Encoded:
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad(), self._context():
                given = torch.tensor(images).to(self._device)
                return self.network.encode(given)
        finally:
            self.network.train(was_training)

    def outputs(self, encoded: Encoded) -> Dict[str, torch.Tensor]:
        """What Decisions has of encoded images, but their labels."""
        with without_autocast(encoded.keys.device.type):
            logits = self.scale * attention_logits(encoded.queries, self._keys)
            familiarity = [
                logits.max(-1)[0],
                -nearest_distance(encoded.keys, self._keys),
                -nearest_distance(encoded.values, self._values),
            ]
            found = self._projected(logits)
            reached = found.ordered.cumsum(-1)
            counts = [1 + (reached <= share).sum(-1) for share in PROTOTYPE_SHARES]
            return {
                "own_logits": self.network.classify(encoded.values),
                "familiarity": torch.stack(familiarity, -1),
                "mixed_logits": self.network.classify(found.weights @ self._values),
                "class_weights": found.weights @ self._labels,
                "prototype_counts": torch.stack(counts, -1),
                "top_candidates": found.rows[:, :SHOWN],
                "top_weights": found.ordered[:, :SHOWN],
            }

    def _projected(self, logits: torch.Tensor) -> Projection:
        if self.network.architecture.normalization == SPARSEMAX:
            return project(logits)
        weights = functional.softmax(logits, -1)
        return Projection(weights, *torch.sort(weights, -1, descending=True))


def nearest_distance(vectors: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The Euclidean distance of each row (B, D) to the nearest of others (C, D): (B,)."""
    squares = (others**2).sum(-1)[None] - 2 * vectors @ others.t()
    nearest = squares.min(-1)[0] + (vectors**2).sum(-1)
    return torch.sqrt(functional.relu(nearest))


def passes_of(session: Session, network: PrototypeNetwork, splits: Splits) -> PrototypePasses:
    """The passes that decide on a run's splits."""
    options, context = session.options, session.forward_context
    batch, scale = options.evaluation_batch_size, options.attention_scale
    return PrototypePasses(network, splits.candidates, batch, scale, context)
