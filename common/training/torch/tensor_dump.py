"""Stores the tensors of one training step, for zoo diverge: what layers gave, gradients, weights.

The step is training's own: hooks copy what passes by, and copies change nothing.
"""

from __future__ import annotations

import dataclasses
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
)

import numpy as np
import torch

from common.runs import dump
from common.runs.dump import Tensor, kept_samples
from common.training.dump import StepDump, require_fit
from common.training.exchange import from_torch, to_torch
from common.training.torch.activations import recording
from common.training.torch.exchanged import put_weights
from common.training.torch.runtime import VERSION
from common.training.torch.step import LookAtGradients, StepHealth

if TYPE_CHECKING:
    from common.training.torch.engine import TorchEngine

# What Adam keeps of a weight, by torch's name and by the end of TensorFlow's.
_SLOTS = {"exp_avg": "/Adam", "exp_avg_sq": "/Adam_1"}

Optimise = Callable[[Any, Optional[LookAtGradients]], Tuple[torch.Tensor, StepHealth]]


class NetworkDump(StepDump):
    """The dump of a network's step: the first rank's, for no other one writes."""

    def __init__(self, engine: TorchEngine) -> None:
        super().__init__(engine)
        self.engine = engine

    def is_due(self, step: int) -> bool:
        """Whether this rank stores the step under way."""
        return step == self.step and self.engine.place.rank == 0

    def load_weights(self) -> None:
        """Gives the network the weights that the other run had before its stored step."""
        assert self.source is not None
        weights, network = self.source.inputs(dump.WEIGHT_BEFORE), self.engine.network
        own = self._arranged(dict(_on_host(network.state_dict())))
        require_fit(weights, {name: tuple(value.shape) for name, value in own.items()}, "weight")
        if self._is_twin:
            put_weights(network, weights)
        else:
            network.load_state_dict(_as_tensors(weights))

    @property
    def _is_twin(self) -> bool:
        """Whether names and layouts are Keras's, for the network has a twin there."""
        return bool(self.engine.subject.twin_of)

    def _arranged(self, weights: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Weights, or their gradients, by the names that they have in the dump."""
        return from_torch(weights) if self._is_twin else weights

    def _names(self) -> List[str]:
        """Of the optimizer's parameters, which may be copies of the network's."""
        names = {id(weight): name for name, weight in self.engine.network.named_parameters()}
        groups = self.engine.training.parameter_groups()
        return [names[id(weight)] for group in groups for weight in group["params"]]

    def load_optimizer(self) -> None:
        """Gives the optimizer what the other run's kept."""
        assert self.source is not None
        names, optimizer = self._names(), self.engine.stepper.optimizer
        state: Dict[int, Dict[str, Any]] = {}
        given = self.source.inputs(dump.OPTIMIZER)
        if self._is_twin:
            state = self._adam_of(given) if self.begins_after else {}
            given = {}
        for key, value in _as_tensors(given).items():
            name, _, kind = key.rpartition("/")
            state.setdefault(names.index(name), {})[kind] = value
        if state:
            # What make_adam's optimizer counts is in its groups.
            groups = [
                dict(group, taken=self.begins_after)
                for group in optimizer.state_dict()["param_groups"]
            ]
            optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _adam_of(self, given: Mapping[str, np.ndarray]) -> Dict[int, Dict[str, Any]]:
        """Adam's state of each weight out of TensorFlow's variables."""
        moments = {
            kind: to_torch(
                {key[: -len(slot)]: one for key, one in given.items() if key.endswith(slot)}
            )
            for kind, slot in _SLOTS.items()
        }
        done = float(self.begins_after or 0)
        return {
            number: {
                "step": torch.tensor(done) if VERSION >= (1, 12) else int(done),
                **_as_tensors({kind: moments[kind][name] for kind in moments}),
            }
            for number, name in enumerate(self._names())
        }

    def _batch_of_source(self, own: Any) -> Any:
        assert self.source is not None
        given, parts = dict(self.source.inputs(dump.BATCH)), _parts(own)
        given.update(self.source.inputs(dump.NOISE))
        shapes = {name: tuple(parts.get(name, values).shape) for name, values in given.items()}
        require_fit(given, shapes, "tensor of the batch")
        placed = {}
        for name, value in _as_tensors(given).items():
            placed[name] = value.to(self.engine.device.device)
            if name in parts:  # in this run's layout
                placed[name] = torch.empty_like(parts[name]).copy_(placed[name])
        return _with_parts(own, placed)

    # --- the step ---

    def run(self, step: int, batch: Any, optimise: Optimise) -> Tuple[torch.Tensor, StepHealth]:
        """Does and stores the step under way; returns its loss and what became of it."""
        if self.source is not None:
            batch = self._batch_of_source(batch)
        rate: np.ndarray = np.asarray(self.engine.stepper.optimizer.param_groups[0]["lr"])
        if self._is_twin:  # as TensorFlow holds it
            rate = rate.astype(np.float32)
        inputs = [
            *(
                _tensor(name, dump.NOISE if name in _noise(batch) else dump.BATCH, value)
                for name, value in _parts(batch).items()
            ),
            *self._weights(dump.WEIGHT_BEFORE),
            *(self._adam_variables(step - 1) if self._is_twin else self._optimizer_state()),
            Tensor(dump.LEARNING_RATE, dump.SETTING, rate),
        ]
        gradients: Dict[str, np.ndarray] = {}
        separator = "/" if self._is_twin else "."
        with recording(self.engine.network, _activation, separator) as activations:
            loss, health = optimise(
                batch, lambda parameters: gradients.update(self._gradients(parameters))
            )
        if health.skipped:
            self.overflowed()
        else:
            weights = self._weights(dump.WEIGHT)
            arranged = self._arranged(gradients)
            tensors = [
                *(dataclasses.replace(tensor, name=name) for name, tensor in activations),
                _tensor("loss", dump.LOSS, loss),
                *(
                    Tensor(weight.name, dump.GRADIENT, arranged[weight.name])
                    for weight in reversed(weights)
                    if weight.name in arranged
                ),
                *weights,
            ]
            self.store(step, inputs, tensors)
        return loss, health

    def _adam_variables(self, done: int) -> Iterator[Tensor]:
        """What Adam keeps, as TensorFlow's variables; zeros before the first step."""
        optimizer = self.engine.stepper.optimizer
        parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
        for kind, slot in _SLOTS.items():
            moments = {
                name: optimizer.state.get(weight, {}).get(kind, torch.zeros_like(weight))
                for name, weight in zip(self._names(), parameters)
            }
            for path, value in from_torch(dict(_on_host(moments))).items():
                yield Tensor(path + slot, dump.OPTIMIZER, value)
        group = optimizer.param_groups[0]
        for number, beta in enumerate(group["betas"], 1):
            power = np.float32(beta ** (group.get("taken", 0) + 1))
            yield Tensor(f"beta{number}_power", dump.OPTIMIZER, np.asarray(power))
        yield Tensor("global_step", dump.OPTIMIZER, np.asarray(done, np.int64))

    def _optimizer_state(self) -> Iterator[Tensor]:
        """Everything that the optimizer keeps of a parameter."""
        optimizer = self.engine.stepper.optimizer
        parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
        for name, parameter in zip(self._names(), parameters):
            for key, value in sorted(optimizer.state.get(parameter, {}).items()):
                if isinstance(value, torch.Tensor):
                    yield _tensor(f"{name}/{key}", dump.OPTIMIZER, value)

    def _gradients(self, parameters: List[torch.Tensor]) -> Dict[str, np.ndarray]:
        named = zip(self._names(), parameters)
        return dict(_on_host({name: one.grad for name, one in named if one.grad is not None}))

    def _weights(self, kind: str) -> List[Tensor]:
        weights = self._arranged(dict(_on_host(self.engine.network.state_dict())))
        return [Tensor(name, kind, value) for name, value in weights.items()]


def _parts(batch: Any) -> Dict[str, torch.Tensor]:
    """The tensors of a batch by name: of a data class its fields, of a tuple by number."""
    if dataclasses.is_dataclass(batch):
        named = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    else:
        named = {str(number): part for number, part in enumerate(batch)}
    return {name: part for name, part in named.items() if isinstance(part, torch.Tensor)}


def _with_parts(batch: Any, parts: Mapping[str, torch.Tensor]) -> Any:
    """A batch with other tensors; those of a data class that are not given are None."""
    if dataclasses.is_dataclass(batch):
        given: Dict[str, Any] = {**dict.fromkeys(_parts(batch)), **parts}
        return dataclasses.replace(batch, **given)  # type: ignore[type-var]
    return type(batch)(parts.get(str(number), part) for number, part in enumerate(batch))


def _as_tensors(arrays: Mapping[str, np.ndarray]) -> Dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def _tensor(name: str, kind: str, value: torch.Tensor) -> Tensor:
    """A copy on the host; numpy has no bfloat16, so that becomes float32."""
    dtype = str(value.dtype).replace("torch.", "")
    held = value.detach().to("cpu", copy=True)
    if held.dtype == torch.bfloat16:
        held = held.float()
    return Tensor(name, kind, held.contiguous().numpy(), dtype)


def _on_host(tensors: Mapping[str, torch.Tensor]) -> Iterator[Tuple[str, np.ndarray]]:
    for name, value in tensors.items():
        yield name, _tensor(name, "", value).values


def _activation(output: torch.Tensor) -> Tensor:
    """A copy of the first samples of what a layer gave; its name comes later."""
    shape = tuple(output.shape)
    count = kept_samples(shape)
    stored = _tensor("", dump.ACTIVATION, output if count is None else output[:count])
    return dataclasses.replace(stored, shape=shape)


def _noise(batch: Any) -> Tuple[str, ...]:
    """Which parts of a batch are draws: fields whose metadata say `noise`."""
    if not dataclasses.is_dataclass(batch):
        return ()
    return tuple(one.name for one in dataclasses.fields(batch) if one.metadata.get("noise"))
