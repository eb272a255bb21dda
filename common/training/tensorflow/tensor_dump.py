"""Stores the tensors of one training step, for zoo diverge, and leaves training as it was.

The step is done twice on the same batch: first with everything fetched that is stored, then, from
the same values of all variables, as every other step. So what is fetched cannot change how training
itself is computed. The step is fed nothing: the batch comes twice out of the pipeline, and where
another run's step is repeated, its batch and noise are constants of pipeline and graph.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from common.core.errors import UsageError
from common.machine.precision import Precision
from common.runs.dump import (
    ACTIVATION,
    BATCH,
    GRADIENT,
    LEARNING_RATE,
    LOSS,
    NOISE,
    OPTIMIZER,
    SETTING,
    WEIGHT,
    WEIGHT_BEFORE,
    Tensor,
    kept_samples,
)
from common.training.dump import ATTEMPTS, StepDump, require_fit
from common.training.run import Settings, Subject
from common.training.tensorflow.description import MakeBatches, TrainingGraph
from common.training.tensorflow.runtime import TensorFlowDevice, tf
from common.training.tensorflow.weights import (
    named_weights,
    optimizer_variables,
    put_variables,
    read_variables,
)

TAKEN = "batches_taken"  # the variable of the engine's graph
Arrays = Dict[str, np.ndarray]


class Done(NamedTuple):
    """A step that was done: batch and noise by name, its tensors, whether it was skipped."""

    given: Dict[str, Arrays]
    tensors: List[Tensor]
    skipped: bool


class DumpGraph:
    """What of a built graph is stored; adds to the default graph."""

    def __init__(self, network: TrainingGraph, batch: Any, global_step: Any) -> None:
        self.batch = _named(batch)
        self._given = {BATCH: self.batch, NOISE: dict(network.noise)}
        self.weights = named_weights(network.network)
        self.optimizer = dict(optimizer_variables(network.network), global_step=global_step)
        self.all_variables = {variable.op.name: variable for variable in tf.global_variables()}
        self.learning_rate = tf.convert_to_tensor(network.learning_rate)
        self._train, self._step = network.minimisation.train_op, global_step
        self._shapes = {name: _static_shape(tensor) for name, tensor in network.activations.items()}
        # Not the tensors themselves: what is fetched is left out of the graph rewrite to 16 bits.
        self._activations = {
            name: _first_samples(tensor) for name, tensor in network.activations.items()
        }
        self._loss = tf.identity(network.loss)
        paths = {id(weight): path for path, weight in self.weights.items()}
        self._gradients = {
            paths[id(weight)]: tf.identity(gradient)
            for gradient, weight in network.minimisation.gradients
        }

    def run(self, session: Any) -> Done:
        """Does the step from the values that the variables have, on the pipeline's next batch."""
        before = int(session.run(self._step))
        values = session.run(
            {
                "given": self._given,
                "activations": self._activations,
                "loss": self._loss,
                "gradients": self._gradients,
                "train": self._train,
            }
        )
        after = read_variables(session, self.weights)
        reached = [path for path in self.weights if path in self._gradients]
        tensors = [
            *(
                Tensor(name, ACTIVATION, value, shape=self._shapes[name])
                for name, value in values["activations"].items()
            ),
            Tensor("loss", LOSS, np.asarray(values["loss"])),
            *(Tensor(path, GRADIENT, values["gradients"][path]) for path in reversed(reached)),
            *(Tensor(path, WEIGHT, value) for path, value in after.items()),
        ]
        return Done(values["given"], tensors, int(session.run(self._step)) == before)

    def rate_input(self, session: Any) -> Tensor:
        """The learning rate of the coming step."""
        return Tensor(LEARNING_RATE, SETTING, np.asarray(session.run(self.learning_rate)))


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


class GraphDump(StepDump):
    """Every rank does the same, so that the exchange of gradients meets; the first one writes."""

    _graph: Optional[DumpGraph] = None

    def __init__(
        self, settings: Settings, subject: Subject, device: TensorFlowDevice, precision: Precision
    ) -> None:
        super().__init__(settings, subject, device, device.place, precision)
        iterations = device.npu_options.iterations_per_loop
        if self.step is not None and iterations > 1:
            raise UsageError(
                f"--dump_tensors looks at one step, --iterations_per_loop {iterations} at so many "
                "at once: leave --iterations_per_loop out"
            )

    def is_due(self, coming: int) -> bool:
        """Whether the batch that comes next (the first is 1) is that of the step to be stored."""
        return self.source is None and coming == self.step

    def batches(self, make_batches: MakeBatches) -> MakeBatches:
        """The batches of training, that of the stored step as often as it will be asked for."""
        if self.step is None:
            return make_batches
        step, source = self.step, self.source

        def own_twice(first: int) -> Any:
            if first >= step:
                return make_batches(first)
            before = make_batches(first).take(step - 1 - first)
            return before.concatenate(make_batches(step - 1).take(1)).concatenate(
                make_batches(step - 1)
            )

        def anothers(first: int) -> Any:
            own = make_batches(first + 1)
            assert source is not None
            return _constant_batch(source.inputs(BATCH), own).repeat(ATTEMPTS).concatenate(own)

        return own_twice if source is None else anothers

    def given_noise(self) -> Mapping[str, Any]:
        """The noise of the other run's step by name; nothing where training draws its own."""
        return {} if self.source is None else self.source.inputs(NOISE)

    def prepare(self, network: TrainingGraph, batch: Any, global_step: Any) -> None:
        """Adds to the graph what is needed, where a dump was asked for."""
        if self.step is not None:
            self._graph = DumpGraph(network, batch, global_step)

    def begin(self, session: Any) -> None:
        """Where training is to begin from another run's dump: stores that step, is at its start."""
        if self.source is None or self._graph is None:
            return
        graph = self._graph
        state = {**self.source.inputs(WEIGHT_BEFORE), **self.source.inputs(OPTIMIZER)}
        variables = {**graph.weights, **graph.optimizer}
        put_variables(
            session,
            {TAKEN: graph.all_variables[TAKEN]},
            {TAKEN: np.asarray(self.begins_after, np.int64)},
        )
        shapes = {name: variable.shape.as_list() for name, variable in variables.items()}
        require_fit(state, shapes, "variable")
        put_variables(session, variables, state)
        rate = graph.rate_input(session)
        done, left = graph.run(session), ATTEMPTS - 1
        put_variables(session, variables, state)
        while done.skipped and left > 1:  # the scale has shrunk
            done, left = graph.run(session), left - 1
            put_variables(session, variables, state)
        if done.skipped:
            raise self.overflowed()
        for _ in range(left - 1):  # the step itself is to get the last one
            session.run(graph.batch)
        self.store(self.source.subject.step, [rate], done.tensors)

    def run(self, session: Any, fetches: Mapping[str, Any]) -> Dict[str, Any]:
        """Does the step that is to be stored; returns what was fetched, as any other step."""
        assert self._graph is not None and self.step is not None
        graph = self._graph
        before = read_variables(session, graph.all_variables)
        state = [
            *_inputs(WEIGHT_BEFORE, read_variables(session, graph.weights)),
            *_inputs(OPTIMIZER, read_variables(session, graph.optimizer)),
            graph.rate_input(session),
        ]
        done = graph.run(session)
        put_variables(session, graph.all_variables, before)
        if self.place.rank == 0 and done.skipped:
            self.say(
                f"note: step {self.step} overflowed, so its tensors are not stored: give a later "
                "step to --dump_tensors, or a smaller --loss_scale"
            )
        elif self.place.rank == 0:
            given = [*_inputs(BATCH, done.given[BATCH]), *_inputs(NOISE, done.given[NOISE])]
            self.store(self.step, [*given, *state], done.tensors)
        return dict(session.run(fetches))


def _inputs(kind: str, values: Arrays) -> List[Tensor]:
    return [Tensor(name, kind, value) for name, value in values.items()]


def _constant_batch(values: Arrays, like: Any) -> Any:
    """A dataset of one batch, with the structure of another dataset's."""
    types, shapes = tf.data.get_output_types(like), tf.data.get_output_shapes(like)
    wanted = {name: shape.as_list() for name, shape in _named(shapes).items()}
    require_fit(values, wanted, "tensor of the batch")
    parts = [tf.constant(values[name], dtype) for name, dtype in _named(types).items()]
    if isinstance(types, dict):
        return tf.data.Dataset.from_tensors(dict(zip(_named(types), parts)))
    return tf.data.Dataset.from_tensors(tf.nest.pack_sequence_as(types, parts))
