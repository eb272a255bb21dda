"""Batches of prepared scenes on the device, with the noise of their step: the TensorFlow twin's."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

import numpy as np
import torch

from common.machine.ranks import ALONE
from common.training.noise import step_normal
from common.training.run import Evaluation
from common.training.torch.ranks import sum_over_ranks
from common.training.torch.reading import on_device, read_ahead
from slot_attention.data.batches import EvaluationOrder, arrays_of
from slot_attention.network.architecture import GAUSSIAN
from slot_attention.scene_run import training_order
from slot_attention.tasks import Figures, target_rows, without_filling
from slot_attention_torch.network.networks import scaled_pixels
from slot_attention_torch.session import Session

Arrays = Dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class SceneBatch:
    """image (B, height, width, 3) in [-1, 1], target (B, 10, 19); slots: noise (B, K, D)."""

    image: torch.Tensor
    target: Optional[torch.Tensor] = None
    slots: Optional[torch.Tensor] = dataclasses.field(default=None, metadata={"noise": True})


def training_batches(session: Session, figures: Figures, first: int) -> Iterator[SceneBatch]:
    """This rank's batches from a step on, each read while the one before is computed."""
    arrays = arrays_of(session.dataset, "train", figures.fields)
    order, rank = training_order(session), session.place.rank

    def read(step: int) -> Arrays:
        indices = order.indices(step)
        noise = _noise(session, order.batch_size, step, "slots", rank)
        return {**{name: array[indices] for name, array in arrays.items()}, **noise}

    for values in read_ahead(read, itertools.count(first)):
        yield SceneBatch(**_placed(session, values))


def _noise(session: Session, batch: int, step: int, stream: str, rank: int) -> Arrays:
    """Standard normal noise (batch, K, D) for the initial slots; none where they are learned."""
    slots = session.choice.slots
    if slots.initial != GAUSSIAN:
        return {}
    shape = (batch, slots.count, slots.size)
    return {"slots": step_normal(shape, session.options.seed, step, stream, rank)}


def _placed(session: Session, values: Arrays) -> Dict[str, torch.Tensor]:
    """Arrays on the device; pixels go there as bytes."""
    found = on_device(values, session.device)
    image = scaled_pixels(found["image"])
    found["image"] = image if image.shape[-1] == 3 else image.expand(*image.shape[:-1], 3)
    return found


class ScenePass:
    """Runs what a network makes of a split, scene by scene in order.

    Noise depends on the run's seed and the batch alone: the same weights give the same figures.
    """

    def __init__(
        self,
        figures: Figures,
        session: Session,
        split: str,
        count: Optional[int] = None,
    ) -> None:
        """Reads nothing yet; count: scenes of all ranks, in whole batches, None for all."""
        size = session.options.evaluation_batch_size
        place = session.place if figures.shared else ALONE
        self._figures, self._session, self._split = figures, session, split
        self._rank = place.rank
        self._arrays = arrays_of(session.dataset, split, figures.evaluated(session))
        scenes = len(self._arrays["image"])
        self._order = EvaluationOrder(scenes, size, place.rank, place.world_size)
        most = self._order.steps if count is None else -(-count // (size * place.world_size))
        self._steps = min(self._order.steps, most)

    def run(
        self, *names: str, heartbeat: Callable[[], None] = lambda: None
    ) -> Iterator[Mapping[str, Any]]:
        """Yields outputs of every batch, all or the named ones, without scenes that fill it up."""
        for number, values in enumerate(read_ahead(self._read, range(self._steps))):
            found = self._outputs(values)
            valid = self._order.valid(number)
            yield {name: without_filling(_on_host(found[name]), valid) for name in names or found}
            heartbeat()

    def evaluate(self, heartbeat: Callable[[], None]) -> Evaluation:
        """The figures of the whole pass, the same on every rank."""
        run = functools.partial(self.run, heartbeat=heartbeat)
        add = functools.partial(sum_over_ranks, device=self._session.device.device)
        return self._figures.evaluate(self._session, run, self._split, add)

    def first(self, count: int) -> Mapping[str, Any]:
        """All outputs of the first scenes, at most a batch."""
        values = next(self.run())
        return {name: without_filling(value, count) for name, value in values.items()}

    def _read(self, number: int) -> Arrays:
        indices = self._order.indices(number)
        values = {name: array[indices] for name, array in self._arrays.items()}
        noise = _noise(self._session, len(indices), number, "evaluation", self._rank)
        return {**values, **noise}

    def _outputs(self, values: Arrays) -> Dict[str, Any]:
        """The batch as figures and pictures want it, and what the network finds."""
        session = self._session
        labels = values.pop("mask", None)
        placed = _placed(session, values)
        network = session.network
        with torch.no_grad(), session.forward_context():
            found = network(placed["image"], placed.pop("slots", None))
        if labels is not None:
            entities = np.arange(session.dataset.facts.entities or 0)[:, None, None]
            placed["mask"] = (labels[:, None] == entities).astype(np.uint8)
        if "target" in placed:
            placed["target"] = placed["target"][:, : target_rows(session)]
        return {**placed, **found}


def _on_host(value: Any) -> Any:
    if isinstance(value, list):
        return [_on_host(part) for part in value]
    if not isinstance(value, torch.Tensor):
        return value
    return (value.float() if value.is_floating_point() else value).cpu().numpy()
