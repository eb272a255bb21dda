"""Stores the tensors of one training step, for zoo diverge, and leaves training as it was.

The step is done twice on the same batch: first with everything fetched that is stored, then, from
the same values of all variables, as every other step. So what is fetched cannot change how training
itself is computed. The step is fed nothing: the batch comes twice out of the pipeline, and where
another run's step is repeated, its batch and noise are constants of pipeline and graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from common.core.errors import UsageError, ZooError
from common.machine.precision import Precision
from common.runs.dump.arithmetic import arithmetic_of
from common.runs.dump.dump_format import (
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
    Subject,
    Tensor,
    kept_samples,
)
from common.runs.dump.writing import plain_json, write_dump, write_replayed
from common.training.dump_flags import dumped_step, is_stored, open_source
from common.training.tensorflow import description
from common.training.tensorflow.description import MakeBatches, Settings, TrainingGraph
from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.runtime import TensorFlowDevice, tf
from common.training.tensorflow.variable_values import (
    optimizer_variables,
    put_variables,
    read_variables,
)

TAKEN = "batches_taken"  # the variable of step_graph
ATTEMPTS = 40  # of a step whose gradients overflow, until its loss scale is small enough
Arrays = Dict[str, np.ndarray]
Say = Callable[[str], None]


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
        return Done(
            values["given"], self._in_order(values, after), int(session.run(self._step)) == before
        )

    def _in_order(self, values: Mapping[str, Any], weights: Arrays) -> List[Tensor]:
        reached = [path for path in self.weights if path in self._gradients]
        return (
            [
                Tensor(name, ACTIVATION, value, shape=self._shapes[name])
                for name, value in values["activations"].items()
            ]
            + [Tensor("loss", LOSS, np.asarray(values["loss"]))]
            + [Tensor(path, GRADIENT, values["gradients"][path]) for path in reversed(reached)]
            + [Tensor(path, WEIGHT, value) for path, value in weights.items()]
        )


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


class StepDump:
    """The dump of a run, if one was asked for.

    Every rank does the same, so that the exchange of gradients meets; the first one writes.
    """

    def __init__(
        self,
        settings: Settings,
        device: TensorFlowDevice,
        precision: Precision,
        subject: description.Subject,
    ) -> None:
        """Opens the dump to begin from, if any.

        Raises:
            UsageError: there is none, or the flags contradict.
        """
        self._settings, self._device, self._precision = settings, device, precision
        self._subject = subject
        self._source = open_source(
            settings.dump_from, settings.dump_tensors, settings.resume, device.place.world_size
        )
        self._step = dumped_step(settings.dump_tensors, self._source, settings.steps)
        if self._step is not None and device.npu_options.iterations_per_loop > 1:
            raise UsageError(
                "--dump_tensors looks at one step, --iterations_per_loop "
                f"{device.npu_options.iterations_per_loop} at so "
                "many at once: leave --iterations_per_loop out"
            )
        self._graph: Optional[DumpGraph] = None
        if self._source is not None:
            self._require_same_network(self._source.subject)

    @property
    def begins_after(self) -> Optional[int]:
        """The steps that are done when training begins from another run's dump."""
        return None if self._source is None else self._source.subject.step - 1

    def require_ahead(self, done: int, say: Say) -> None:
        """Says where a resumed training has stored the step already.

        Raises:
            UsageError: it has passed it and did not store it.
        """
        first = self._device.place.rank == 0  # which alone needs to see the disk
        if first and is_stored(self._step, done, Path(self._settings.output_path)):
            say(f"note: step {self._step} is stored already")

    def is_due(self, coming: int) -> bool:
        """Whether the batch that comes next (the first is 1) is that of the step to be stored."""
        return self._source is None and coming == self._step

    # --- building ---

    def batches(self, make_batches: MakeBatches) -> MakeBatches:
        """The batches of training, that of the stored step as often as it will be asked for."""
        if self._step is None:
            return make_batches
        step, source = self._step, self._source

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
        return {} if self._source is None else self._source.inputs(NOISE)

    def prepare(self, graph: Any) -> None:
        """Adds to a StepGraph what is needed, where a dump was asked for."""
        if self._step is not None:
            self._graph = DumpGraph(graph.network, graph.batch, graph.global_step)

    # --- running ---

    def begin(self, session: Any, say: Say) -> None:
        """Where training is to begin from another run's dump: stores that step, is at its start."""
        if self._source is None or self._graph is None:
            return
        state = {**self._source.inputs(WEIGHT_BEFORE), **self._source.inputs(OPTIMIZER)}
        variables = {**self._graph.weights, **self._graph.optimizer}
        put_variables(
            session,
            {TAKEN: self._graph.all_variables[TAKEN]},
            {TAKEN: np.asarray(self.begins_after, np.int64)},
        )
        _require_fit(
            state,
            {name: variable.shape.as_list() for name, variable in variables.items()},
            "variable",
        )
        put_variables(session, variables, state)
        rate = self._rate_input(session)
        done, left = self._graph.run(session), ATTEMPTS - 1
        put_variables(session, variables, state)
        while done.skipped and left > 1:  # the scale has shrunk
            done, left = self._graph.run(session), left - 1
            put_variables(session, variables, state)
        if done.skipped:
            raise ZooError(
                f"the gradients of step {self._step} overflowed {ATTEMPTS - 1} times in "
                "a row: give a smaller "
                "--loss_scale"
            )
        for _ in range(left - 1):  # the step itself is to get the last one
            session.run(self._graph.batch)
        self._tell(
            say,
            write_replayed(
                self._settings.output_path,
                self._described(str(self._settings.dump_from)),
                self._source.index,
                [rate],
                done.tensors,
            ),
            done,
        )

    def run(self, session: Any, fetches: Mapping[str, Any], say: Say) -> Dict[str, Any]:
        """Does the step that is to be stored; returns what was fetched, as any other step."""
        assert self._graph is not None
        graph = self._graph
        before = read_variables(session, graph.all_variables)
        state = [
            *_inputs(WEIGHT_BEFORE, read_variables(session, graph.weights)),
            *_inputs(OPTIMIZER, read_variables(session, graph.optimizer)),
            self._rate_input(session),
        ]
        done = graph.run(session)
        put_variables(session, graph.all_variables, before)
        if self._device.place.rank == 0 and done.skipped:
            say(
                f"note: step {self._step} overflowed, so its tensors are not stored: "
                "give a later step to "
                "--dump_tensors, or a smaller --loss_scale"
            )
        elif self._device.place.rank == 0:
            inputs = [
                *_inputs(BATCH, done.given[BATCH]),
                *_inputs(NOISE, done.given[NOISE]),
                *state,
            ]
            self._tell(
                say,
                write_dump(self._settings.output_path, self._described(), inputs, done.tensors),
                done,
            )
        return dict(session.run(fetches))

    def _rate_input(self, session: Any) -> Tensor:
        assert self._graph is not None
        return Tensor(LEARNING_RATE, SETTING, np.asarray(session.run(self._graph.learning_rate)))

    def _described(self, replayed_from: str = "") -> Subject:
        device, subject = self._device, self._subject
        return Subject(
            subject.model,
            subject.task,
            plain_json(subject.network),
            device.framework,
            f"{device.kind} ({device.name})",
            self._precision.as_record(),
            arithmetic_of(self._precision),
            self._step or 0,
            device.place.world_size,
            replayed_from,
        )

    def _tell(self, say: Say, folder: Path, done: Done) -> None:
        say(f"step {self._step}: {len(done.tensors)} tensors are in {folder}")

    def _require_same_network(self, there: Subject) -> None:
        here = self._described()
        if (there.model, there.task, there.network) != (here.model, here.task, here.network):
            raise UsageError(
                f"--dump_from {self._settings.dump_from} is of {there.model} "
                f"{there.task} {there.network}, this run of {here.model} {here.task} "
                f"{here.network}: give the flags "
                "of that run"
            )


def _inputs(kind: str, values: Arrays) -> List[Tensor]:
    return [Tensor(name, kind, value) for name, value in values.items()]


def _constant_batch(values: Arrays, like: Any) -> Any:
    """A dataset of one batch, with the structure of another dataset's."""
    types, shapes = tf.data.get_output_types(like), tf.data.get_output_shapes(like)
    _require_fit(
        values,
        {name: shape.as_list() for name, shape in _named(shapes).items()},
        "tensor of the batch",
    )
    parts = [tf.constant(values[name], dtype) for name, dtype in _named(types).items()]
    if isinstance(types, dict):
        return tf.data.Dataset.from_tensors(dict(zip(_named(types), parts)))
    return tf.data.Dataset.from_tensors(tf.nest.pack_sequence_as(types, parts))


def _require_fit(
    there: Mapping[str, np.ndarray], here: Mapping[str, List[Optional[int]]], what: str
) -> None:
    """Raises UsageError where names or shapes of a dump are not those of this run."""
    for name in sorted(set(there) | set(here)):
        one = list(there[name].shape) if name in there else None
        other = here.get(name)
        fits = (
            one is not None
            and other is not None
            and len(one) == len(other)
            and all(size in (None, stored) for size, stored in zip(other, one))
        )
        if not fits:
            raise UsageError(
                "--dump_from has the {} {} as {}, this run as {}: give the flags of "
                "that run, --batch_size included".format(
                    what, name, one or "nothing", other or "nothing"
                )
            )
