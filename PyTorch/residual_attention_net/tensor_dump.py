"""Stores the tensors of one training step, for zoo diverge: what layers gave, gradients, weights.

The step is training's own: hooks copy what passes by, and copies change nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch import nn

from common.core.errors import UsageError, ZooError
from common.runs.dump.arithmetic import arithmetic_of
from common.runs.dump.dump_format import (
    ACTIVATION,
    BATCH,
    GRADIENT,
    LEARNING_RATE,
    LOSS,
    OPTIMIZER,
    SETTING,
    WEIGHT,
    WEIGHT_BEFORE,
    Subject,
    Tensor,
    kept_samples,
)
from common.runs.dump.writing import write_dump, write_replayed
from common.training.dump_flags import dumped_step, is_stored, open_source
from common.training.torch.gradients import LookAtGradients, StepHealth
from residual_attention_net.checkpoint import network_identity
from residual_attention_net.data.loader import Batch
from residual_attention_net.session import Session, parameter_groups

MODEL, TASK = "residual_attention_net", "classification"
ATTEMPTS = 40  # of a step whose gradients overflow, until its loss scale is small enough
_FIELDS = ("inputs", "targets", "mixed_targets", "mixup_weight")
Optimise = Callable[[Batch, Optional[LookAtGradients]], Tuple[torch.Tensor, StepHealth]]
Say = Callable[[str], None]


class StepDump:
    """The dump of a run, if one was asked for; the first rank's, for no other one writes."""

    def __init__(self, session: Session, last_step: int, say: Say) -> None:
        """Opens the dump to begin from, if any.

        Raises:
            UsageError: there is none, it is of another network, or the flags contradict.
        """
        options = session.options
        self._session, self._say, self._done = session, say, False
        self.source = open_source(
            options.dump_from, options.dump_tensors, options.resume, session.place.world_size
        )
        self._step = dumped_step(options.dump_tensors, self.source, last_step)
        if self._step is not None and options.compile:
            raise UsageError(
                "--compile leaves no layers for --dump_tensors to look at: leave --compile out"
            )
        if self.source is not None:
            self._require_same_network(self.source.subject)

    @property
    def begins_after(self) -> int:
        """The steps that are done when training begins from another run's dump, else 0."""
        return 0 if self.source is None else self.source.subject.step - 1

    def require_ahead(self, done: int) -> None:
        """Stores nothing where a resumed training has stored the step already.

        Raises:
            UsageError: it has passed it and did not store it.
        """
        folder = Path(self._session.options.output_path)
        if self._session.is_first and is_stored(self._step, done, folder):
            self._done = True
            self._say(f"note: step {self._step} is stored already")

    def is_due(self, step: int) -> bool:
        """Whether this rank stores the step under way; one that overflows is tried again."""
        return (
            self._step is not None
            and not self._done
            and step >= self._step
            and self._session.is_first
        )

    # --- another run's inputs ---

    def load_weights(self) -> None:
        """Gives the network the weights that the other run had before its stored step."""
        assert self.source is not None
        weights = _as_tensors(self.source.inputs(WEIGHT_BEFORE))
        own = self._session.network.state_dict()
        unlike = [
            name
            for name in sorted(set(own) | set(weights))
            if name not in own or name not in weights or own[name].shape != weights[name].shape
        ]
        if unlike:
            raise UsageError(
                f"--dump_from {self._session.options.dump_from} has another {unlike[0]}, "
                "or none: give the flags of that "
                "run"
            )
        self._session.network.load_state_dict(weights)

    def load_optimizer(self) -> None:
        """The same for the optimizer, once it is there."""
        assert self.source is not None
        stored = _as_tensors(self.source.inputs(OPTIMIZER))
        optimizer = self._session.stepper.optimizer  # type: ignore[union-attr]
        state: Dict[int, Dict[str, torch.Tensor]] = {}
        for number, name in enumerate(self._names()):
            own = {
                key[len(name) + 1 :]: value
                for key, value in stored.items()
                if key.rpartition("/")[0] == name
            }
            if own:
                state[number] = own
        if state:
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )

    def _batch_of_source(self, own: Batch) -> Batch:
        assert self.source is not None
        given = _as_tensors(self.source.inputs(BATCH))
        if given["inputs"].shape != own.inputs.shape:
            raise UsageError(
                "--dump_from {} has a batch of {}, this run of {}: give the flags of "
                "that run, --train_batch_size included".format(
                    self._session.options.dump_from,
                    list(given["inputs"].shape),
                    list(own.inputs.shape),
                )
            )
        placed = {name: value.to(self._session.device.device) for name, value in given.items()}
        inputs = torch.empty_like(own.inputs).copy_(placed["inputs"])  # in this run's layout
        return Batch(
            inputs,
            placed["targets"],
            placed.get("mixed_targets"),
            placed["mixup_weight"],
            own.valid,
        )

    # --- the step ---

    def run(self, step: int, batch: Batch, optimise: Optimise) -> Tuple[torch.Tensor, StepHealth]:
        """Does and stores the step under way; returns its loss and what became of it.

        A step that is skipped for an overflow is not stored: the next one is. With another run's
        inputs it is done again at once, for they are of that step.
        """
        if self.source is None:
            return self._attempt(step, batch, optimise)
        batch = self._batch_of_source(batch)
        for _ in range(ATTEMPTS):
            loss, health = self._attempt(step, batch, optimise)
            if self._done:
                return loss, health
            self.load_weights()  # the forward pass has changed the running statistics
        raise ZooError(
            f"the gradients of step {step} overflowed {ATTEMPTS} times in a row: give a smaller "
            "--loss_scale"
        )

    def _attempt(
        self, step: int, batch: Batch, optimise: Optimise
    ) -> Tuple[torch.Tensor, StepHealth]:
        inputs = self._inputs(batch)
        gradients: Dict[str, Tensor] = {}
        with _watching(self._session.network) as activations:
            loss, health = optimise(
                batch, lambda parameters: gradients.update(self._gradients(parameters))
            )
        if not health.skipped:
            own = [name for name, _ in self._session.network.named_parameters()]
            tensors = [
                *activations,
                _tensor("loss", LOSS, loss),
                *(gradients[name] for name in reversed(own) if name in gradients),
                *self._weights(WEIGHT),
            ]
            self._write(step, inputs, tensors)
            self._done = True
        return loss, health

    def _inputs(self, batch: Batch) -> List[Tensor]:
        """Everything that the step is computed from."""
        optimizer = self._session.stepper.optimizer  # type: ignore[union-attr]
        given = {name: getattr(batch, name) for name in _FIELDS}
        rate = np.asarray(optimizer.param_groups[0]["lr"], np.float64)
        return [
            *(_tensor(name, BATCH, value) for name, value in given.items() if value is not None),
            *self._weights(WEIGHT_BEFORE),
            *self._optimizer_state(optimizer),
            Tensor(LEARNING_RATE, SETTING, rate),
        ]

    def _optimizer_state(self, optimizer: Any) -> Iterator[Tensor]:
        parameters = [
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ]
        for name, parameter in zip(self._names(), parameters):
            for key, value in sorted(optimizer.state.get(parameter, {}).items()):
                if isinstance(value, torch.Tensor):
                    yield _tensor(f"{name}/{key}", OPTIMIZER, value)

    def _gradients(self, parameters: List[torch.Tensor]) -> Dict[str, Tensor]:
        return {
            name: _tensor(name, GRADIENT, parameter.grad)
            for name, parameter in zip(self._names(), parameters)
            if parameter.grad is not None
        }

    def _names(self) -> List[str]:
        """The names of the optimizer's parameters, which may be copies of the network's."""
        names = {id(weight): name for name, weight in self._session.network.named_parameters()}
        groups = parameter_groups(self._session.network, self._session.recipe)
        return [names[id(weight)] for group in groups for weight in group["params"]]

    def _weights(self, kind: str) -> List[Tensor]:
        return [
            _tensor(name, kind, value) for name, value in self._session.network.state_dict().items()
        ]

    # --- writing ---

    def _write(self, step: int, inputs: List[Tensor], tensors: List[Tensor]) -> None:
        folder, subject = Path(self._session.options.output_path), self._subject(step)
        if self.source is None:
            written = write_dump(folder, subject, inputs, tensors)
        else:
            settings = [tensor for tensor in inputs if tensor.kind == SETTING]
            written = write_replayed(folder, subject, self.source.index, settings, tensors)
        self._say(f"step {step}: {len(tensors)} tensors are in {written}")

    def _subject(self, step: int) -> Subject:
        session = self._session
        return Subject(
            MODEL,
            TASK,
            network_identity(session.network),
            session.device.framework,
            f"{session.device.kind} ({session.device.name})",
            session.precision.as_record(),
            arithmetic_of(session.precision),
            step,
            session.place.world_size,
            session.options.dump_from or "",
        )

    def _require_same_network(self, there: Subject) -> None:
        here = self._subject(there.step)
        if (there.model, there.network) != (here.model, here.network):
            raise UsageError(
                f"--dump_from {self._session.options.dump_from} is of {there.model} "
                f"{there.network}, this run of {here.model} {here.network}: give the "
                "flags of "
                "that run"
            )


def _as_tensors(arrays: Dict[str, np.ndarray]) -> Dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def _tensor(name: str, kind: str, value: torch.Tensor) -> Tensor:
    """A copy on the host; numpy has no bfloat16, so that becomes float32."""
    dtype = str(value.dtype).replace("torch.", "")
    held = value.detach().to("cpu", copy=True)
    if held.dtype == torch.bfloat16:
        held = held.float()
    return Tensor(name, kind, held.contiguous().numpy(), dtype)


@contextlib.contextmanager
def _watching(network: nn.Module) -> Iterator[List[Tensor]]:
    """Copies what every layer gives into the list it yields; complete when the context is left."""
    watch = _Watch()
    hooks = [
        module.register_forward_hook(watch.hook(name or "output"))
        for name, module in network.named_modules()
    ]
    found: List[Tensor] = []
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        found.extend(watch.finished())


class _Watch:
    """The outputs of layers in the order they came, numbered where a layer gave several."""

    def __init__(self) -> None:
        self._kept: List[Tensor] = []
        self._last: Tuple[Any, int] = (None, 0)

    def hook(self, name: str) -> Callable[..., None]:
        """A forward hook for the module of that name."""

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            # A container gives what its last layer gave; the version tells of changes in place.
            if not isinstance(output, torch.Tensor) or self._is_last(output):
                return
            self._last = (output, output._version)
            count = kept_samples(tuple(output.shape))
            stored = _tensor(name, ACTIVATION, output if count is None else output[:count])
            self._kept.append(
                Tensor(name, ACTIVATION, stored.values, stored.dtype, tuple(output.shape))
            )

        return keep

    def _is_last(self, output: torch.Tensor) -> bool:
        return output is self._last[0] and output._version == self._last[1]

    def finished(self) -> List[Tensor]:
        """The tensors with names of their own."""
        names = [tensor.name for tensor in self._kept]
        seen: Dict[str, int] = {}
        found = []
        for tensor in self._kept:
            seen[tensor.name] = seen.get(tensor.name, 0) + 1
            name = (
                f"{tensor.name}@{seen[tensor.name]}"
                if names.count(tensor.name) > 1
                else tensor.name
            )
            found.append(Tensor(name, tensor.kind, tensor.values, tensor.dtype, tensor.shape))
        return found
