"""The engine of torch: a network, its stepper, batches; losses stay on the device for a while."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import torch

from common.machine.precision import Precision
from common.machine.ranks import Place
from common.training.lines import passes_multiple
from common.training.run import Engine, Evaluation, Settings, Start, StepResult, Subject, Wishes
from common.training.torch import runtime as torch_runtime
from common.training.torch import weights_file
from common.training.torch.profile import StepProfiler, require_steps
from common.training.torch.ranks import (
    average_batch_norm_statistics,
    bytes_from_first_rank,
    sum_over_ranks,
)
from common.training.torch.runtime import TorchDevice
from common.training.torch.step import LookAtGradients, StepHealth, Stepper
from common.training.torch.tensor_dump import NetworkDump


@dataclasses.dataclass(frozen=True)
class TorchTraining:
    """What a network gives to the engine.

    Attributes:
        network: on the device. open_stepper: wraps it, with its optimizer, once it has weights.
        about: what a file of weights says of the network, for its readers.
        make_batches: make_batches(n) yields this rank's batches from number n on, each a data class
            or a tuple of tensors.
        loss: from the wrapped network and a batch; with `diagnostics` also what these are made of.
        learning_rate: of the step after n steps.
        parameter_groups: as the optimizer was given them.
        evaluate: from role, step and heartbeat, see Engine.
        first_weights: loads weights to begin with; returns lines to be told.
        pictures: PNGs by name, on the first rank.
        diagnostics: of what the loss gave beside it, scalars by name; every diagnostics_every.
    """

    network: torch.nn.Module
    open_stepper: Callable[[], Stepper]
    about: Mapping[str, Any]
    make_batches: Callable[[int], Iterator[Any]]
    loss: Callable[[Any, Any], Union[torch.Tensor, Tuple[torch.Tensor, Any]]]
    learning_rate: Callable[[int], float]
    parameter_groups: Callable[[], List[Dict[str, Any]]]
    evaluate: Callable[[str, int, Callable[[], None]], Sequence[Evaluation]]
    first_weights: Optional[Callable[[], Iterable[str]]] = None
    pictures: Optional[Callable[[int], Mapping[str, bytes]]] = None
    diagnostics: Optional[Callable[[Any], Mapping[str, torch.Tensor]]] = None


class TorchEngine(Engine):
    """Makes steps in windows: on an accelerator a look at the device's numbers waits for it."""

    stepper: Stepper
    weights_file = weights_file.FILE

    def __init__(
        self,
        training: TorchTraining,
        device: TorchDevice,
        place: Place,
        precision: Precision,
        settings: Settings,
        subject: Subject,
    ) -> None:
        """Makes no step yet: loop.train does.

        Raises:
            UsageError: a profile is wanted of a run that is too short for one.
        """
        self.training = training
        self.settings, self.subject = settings, subject
        self.network = training.network
        self.device: TorchDevice = device
        self.place, self.precision = place, precision
        self._window = 1 if device.kind == "cpu" else settings.log_every
        if settings.profile:
            require_steps(settings.steps)
        wanted = settings.profile and place.rank == 0
        folder = Path(settings.output_path) / "profile" if wanted else None
        self._profiler = StepProfiler(device, folder)
        self._dump = NetworkDump(self)
        self.begins_after = self._dump.begins_after
        self._step = 0

    def adopt(self, checkpoints: Path) -> None:
        weights_file.adopt_older_layout(checkpoints)

    def begin(self, start: Start, wishes: Callable[[], Wishes]) -> None:
        self._step, self._wishes = start.step, wishes
        training, content = self.training, None
        if self.place.rank == 0:
            self._dump.tell_if_passed(start.step)
        if self.settings.resume:
            content = self._shared(start.checkpoint)
            self._load(content)
        elif self._dump.source is not None:
            self._dump.load_weights()
        elif training.first_weights is not None:
            for line in training.first_weights():
                self.say(line)
        self.stepper = training.open_stepper()
        if content is not None:
            self.stepper.load_optimizer_state(content["optimizer"])
            _lay_out_as_weights(self.stepper.optimizer)
            self.stepper.load_state_dict(content["scaler"])
            torch_runtime.set_rng_state(content["random"], self.device)
        elif self._dump.source is not None:
            self._dump.load_optimizer()
            _lay_out_as_weights(self.stepper.optimizer)
        self._batches = training.make_batches(start.taken)

    def _shared(self, checkpoint: Optional[Path]) -> Dict[str, Any]:
        """What the first rank's checkpoint holds, on machines that share no disk too."""
        if checkpoint is not None and self.place.world_size == 1:
            return weights_file.load(checkpoint / weights_file.FILE)
        first = b"" if checkpoint is None else (checkpoint / weights_file.FILE).read_bytes()
        packed = bytes_from_first_rank(first, self.device.device)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "received.pt"
            path.write_bytes(packed)
            return weights_file.load(path)

    def _load(self, content: Mapping[str, Any]) -> None:
        self.network.load_state_dict(content["model"])

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self.network.parameters())

    def proof(self) -> str:
        return torch_runtime.proof(self.device, self.network)

    def advance(self, most: int) -> Tuple[List[StepResult], Wishes]:
        """A window of steps, whose losses are looked at together; see Engine."""
        losses: List[torch.Tensor] = []
        healths: List[StepHealth] = []
        self._told: Dict[int, Tuple[float, Dict[str, float]]] = {}
        waited, first = 0.0, self._step
        for _ in range(min(most, self._window)):
            began = time.perf_counter()
            batch = next(self._batches)
            waited += time.perf_counter() - began
            for group in self.stepper.optimizer.param_groups:
                group["lr"] = self.training.learning_rate(self._step)
            self._step += 1
            if self._dump.is_due(self._step):
                loss, health = self._dump.run(self._step, batch, self._optimise)
            else:
                loss, health = self._optimise(batch)
            losses.append(loss.detach())
            healths.append(health)
            self._profiler.step()
        local = torch.stack([loss.float() for loss in losses]).cpu().tolist()
        *summed, stop, save = self.sum_over_ranks([*local, *self._wishes()])
        results = [
            StepResult(
                first + number + 1,
                1,
                loss / self.place.world_size,
                self.training.learning_rate(first + number),
                waited / len(losses),
                int(health.skipped),
                self._told.get(first + number + 1, (None,))[0],
                health.loss_scale,
                self._told.get(first + number + 1, (None, {}))[1],
            )
            for number, (loss, health) in enumerate(zip(summed, healths))
        ]
        return results, Wishes(stop, save)

    def _optimise(
        self, batch: Any, look: Optional[LookAtGradients] = None
    ) -> Tuple[torch.Tensor, StepHealth]:
        """One optimizer step on a batch; returns its loss and what became of it."""
        self.stepper.zero_grad()
        tells = self.training.diagnostics is not None and passes_multiple(
            self._step - 1, self._step, self.settings.diagnostics_every
        )
        norms: List[float] = []

        def measure(parameters: List[torch.Tensor]) -> None:
            if look is not None:
                look(parameters)
            parts = [weight.grad.norm() for weight in parameters if weight.grad is not None]
            norms.append(float(torch.stack(parts).norm()))

        with self.stepper.forward_context():
            made = self.training.loss(self.stepper.model, batch)
            loss, found = made if isinstance(made, tuple) else (made, None)
        if tells:
            with torch.no_grad():
                values = self.training.diagnostics(found)  # type: ignore[misc]
            told = {name: float(value) for name, value in values.items()}
        health = self.stepper.step(loss, measure if tells else look)
        if tells:
            self._told[self._step] = (norms[-1] if norms else math.inf, told)
        return loss, health

    def evaluate(self, role: str, step: int, heartbeat: Callable[[], None]) -> Sequence[Evaluation]:
        return self.training.evaluate(role, step, heartbeat)

    def draw(self, step: int) -> Mapping[str, bytes]:
        return {} if self.training.pictures is None else self.training.pictures(step)

    def settle(self) -> Optional[str]:
        average_batch_norm_statistics(self.network)
        finite = [torch.isfinite(weight).all() for weight in self.network.parameters()]
        return None if bool(torch.stack(finite).all()) else "a weight is not finite"

    def write(self, folder: Path) -> Mapping[str, Any]:
        content = weights_file.pack(
            self.network,
            self.training.about,
            optimizer=self.stepper.optimizer_state(),
            scaler=self.stepper.state_dict(),
            random=torch_runtime.rng_state(self.device),
        )
        weights_file.write(folder / weights_file.FILE, content)
        return {}

    def load_weights(self, checkpoint: Optional[Path]) -> None:
        self._load(self._shared(checkpoint))

    def sum_over_ranks(self, values: Sequence[float]) -> List[float]:
        return sum_over_ranks(values, self.device.device)

    def memory_peak(self) -> int:
        return torch_runtime.memory_peak(self.device)

    def end(self) -> Optional[str]:
        self._profiler.close()
        return None


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Fused optimizers walk a weight and its state side by side, so both need the same layout."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
