"""Stores the tensors of one training step, for zoo diverge, and leaves training as it was.

The step is done twice on the same batch: first with everything fetched that is stored, then, from
the same values of all variables, as every other step. So what is fetched cannot change how training
itself is computed. The step is fed nothing: the batch comes twice out of the pipeline, and where
another run's step is repeated, its batch and noise are constants of pipeline and graph.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from common.core.errors import UsageError
from common.runs import dump
from common.runs.dump import Tensor, kept_samples
from common.training.dump import StepDump, require_fit
from common.training.run import Engine
from common.training.tensorflow.description import MakeBatches, TrainingGraph
from common.training.tensorflow.runtime import TensorFlowDevice, tf
from common.training.tensorflow.weights import (
    named_weights,
    optimizer_variables,
    put_variables,
    read_variables,
)

TAKEN, GLOBAL_STEP = "batches_taken", "global_step"  # variables of the engine's graph
Arrays = Dict[str, np.ndarray]


class GraphDump(StepDump):
    """Every rank does the same, so that the exchange of gradients meets; the first one writes."""

    def __init__(self, engine: Engine, device: TensorFlowDevice) -> None:
        super().__init__(engine)
        self._first = engine.place.rank == 0
        iterations = device.iterations_per_loop
        if self.step is not None and iterations > 1:
            raise UsageError(
                f"--dump_tensors looks at one step, --iterations_per_loop {iterations} at so many "
                "at once: leave --iterations_per_loop out"
            )

    def is_due(self, coming: int) -> bool:
        """Whether the batch that comes next (the first is 1) is that of the step to be stored."""
        return coming == self.step

    def batches(self, make_batches: MakeBatches) -> MakeBatches:
        """The batches of training, that of the stored step as often as it will be asked for."""
        step, source = self.step, self.source
        if step is None:
            return make_batches

        def own_twice(first: int) -> Any:
            rest = make_batches(max(first, step - 1))
            if first >= step:
                return rest
            before = make_batches(first).take(step - 1 - first)
            return before.concatenate(make_batches(step - 1).take(1)).concatenate(rest)

        def anothers(first: int) -> Any:
            assert source is not None
            own = make_batches(first + 1)
            return _constant_batch(source.inputs(dump.BATCH), own).repeat(2).concatenate(own)

        return own_twice if source is None else anothers

    def given_noise(self) -> Mapping[str, Any]:
        """The noise of the other run's step by name; nothing where training draws its own."""
        return {} if self.source is None else self.source.inputs(dump.NOISE)

    def prepare(self, network: TrainingGraph, batch: Any, global_step: Any) -> None:
        """Adds to the graph what is needed, where a dump was asked for."""
        if self.step is None:
            return
        self._weights = named_weights(network.network)
        self._optimizer = dict(optimizer_variables(network.network), global_step=global_step)
        self._variables = {variable.op.name: variable for variable in tf.global_variables()}
        self._rate = tf.convert_to_tensor(network.learning_rate)
        self._shapes = {name: _static_shape(tensor) for name, tensor in network.activations.items()}
        paths = {id(weight): path for path, weight in self._weights.items()}
        # Not the tensors themselves: what is fetched is left out of the graph rewrite to 16 bits.
        self._fetches = {
            "batch": _named(batch),
            "noise": dict(network.noise),
            "activations": {
                name: _first_samples(tensor) for name, tensor in network.activations.items()
            },
            "loss": tf.identity(network.loss),
            "gradients": {
                paths[id(weight)]: tf.identity(gradient)
                for gradient, weight in network.minimisation.gradients
            },
            "train": network.minimisation.train_op,
        }

    def begin(self, session: Any) -> None:
        """Puts the start of another run's step in place, where training is to begin from one."""
        if self.source is None:
            return
        state = {**self.source.inputs(dump.WEIGHT_BEFORE), **self.source.inputs(dump.OPTIMIZER)}
        variables = {**self._weights, **self._optimizer}
        shapes = {name: variable.shape.as_list() for name, variable in variables.items()}
        require_fit(state, shapes, "variable")
        taken = np.asarray(self.begins_after, np.int64)
        put_variables(session, {TAKEN: self._variables[TAKEN]}, {TAKEN: taken})
        put_variables(session, variables, state)

    def run(self, session: Any, fetches: Mapping[str, Any]) -> Dict[str, Any]:
        """Does the step that is to be stored; returns what was fetched, as any other step."""
        assert self.step is not None
        before, rate = read_variables(session, self._variables), session.run(self._rate)
        found = session.run(self._fetches)
        after = read_variables(session, self._variables)
        put_variables(session, self._variables, before)
        if self._first and after[GLOBAL_STEP] == before[GLOBAL_STEP]:
            self.overflowed()
        elif self._first:
            activations, gradients = found["activations"].items(), found["gradients"]
            inputs = [
                *_tensors(dump.BATCH, found["batch"]),
                *_tensors(dump.NOISE, found["noise"]),
                *_tensors(dump.WEIGHT_BEFORE, _named_values(self._weights, before)),
                *_tensors(dump.OPTIMIZER, _named_values(self._optimizer, before)),
                Tensor(dump.LEARNING_RATE, dump.SETTING, np.asarray(rate)),
            ]
            tensors = [
                *(
                    Tensor(name, dump.ACTIVATION, one, shape=self._shapes[name])
                    for name, one in activations
                ),
                Tensor("loss", dump.LOSS, np.asarray(found["loss"])),
                *(
                    Tensor(path, dump.GRADIENT, gradients[path])
                    for path in reversed(list(self._weights))
                    if path in gradients
                ),
                *_tensors(dump.WEIGHT, _named_values(self._weights, after)),
            ]
            self.store(self.step, inputs, tensors)
        return dict(session.run(fetches))


def _named_values(variables: Mapping[str, Any], values: Arrays) -> Arrays:
    """Values of variables by other names, out of those by the variables' own."""
    return {name: values[variable.op.name] for name, variable in variables.items()}


def _tensors(kind: str, values: Arrays) -> List[Tensor]:
    return [Tensor(name, kind, value) for name, value in values.items()]


def _named(batch: Any) -> Dict[str, Any]:
    """The parts of a batch by name; by number where it is no dictionary."""
    if isinstance(batch, dict):
        return {name: batch[name] for name in sorted(batch)}
    return {str(number): tensor for number, tensor in enumerate(tf.nest.flatten(batch))}


def _static_shape(tensor: Any) -> Optional[Tuple[int, ...]]:
    return tuple(tensor.shape.as_list()) if tensor.shape.is_fully_defined() else None


def _first_samples(tensor: Any) -> Any:
    shape = _static_shape(tensor)
    count = None if shape is None else kept_samples(shape)
    return tf.identity(tensor if count is None else tensor[:count])


def _constant_batch(values: Arrays, like: Any) -> Any:
    """A dataset of one batch, with the structure of another dataset's."""
    types, shapes = tf.data.get_output_types(like), tf.data.get_output_shapes(like)
    wanted = {name: shape.as_list() for name, shape in _named(shapes).items()}
    require_fit(values, wanted, "tensor of the batch")
    parts = [tf.constant(values[name], dtype) for name, dtype in _named(types).items()]
    if isinstance(types, dict):
        return tf.data.Dataset.from_tensors(dict(zip(_named(types), parts)))
    return tf.data.Dataset.from_tensors(tf.nest.pack_sequence_as(types, parts))
