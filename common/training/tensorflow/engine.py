"""The engine of TensorFlow: one graph with data, network and step; a step is one session.run."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy

from common.ascend.compiled_graphs import CompilationWatch
from common.core.errors import InfrastructureError, UsageError, ZooError, first_line
from common.core.files import make_folder, write_atomically
from common.machine.precision import Precision
from common.training.checkpoints import CHECKPOINTS, read_state
from common.training.lines import passes_multiple
from common.training.run import Engine, Evaluation, Settings, Start, StepResult, Subject, Wishes
from common.training.tensorflow import ranks as tf_ranks
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow import tracing
from common.training.tensorflow.description import Build, Inputs, MakeBatches, TrainingGraph
from common.training.tensorflow.minimisation import scalar_variable
from common.training.tensorflow.runtime import TensorFlowDevice, tf
from common.training.tensorflow.tensor_dump import GraphDump
from common.training.tensorflow.weights import Variables

PROFILED_STEP = 10  # of this process's life: by then everything is warm


# --- the graph -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class StepGraph:
    """A built graph.

    Attributes:
        iterator: of the training data; to be initialised once.
        variables: what checkpoints hold.
        fetches: what every step fetches; `with_diagnostics` is fetched every N steps.
        batch: what the network was built on.
    """

    network: TrainingGraph
    iterator: Any
    variables: Variables
    fetches: Dict[str, Any]
    with_diagnostics: Dict[str, Any]
    global_step: Any
    batch: Any


def build_step_graph(
    build: Build,
    make_batches: MakeBatches,
    position: int,
    seed: int,
    device: TensorFlowDevice,
    precision: Precision,
    given_noise: Optional[Mapping[str, numpy.ndarray]] = None,
) -> StepGraph:
    """Builds everything on the default graph.

    Args:
        position: batches that were taken before; the dataset begins after them.
        given_noise: what the first step is given by name, in place of what it would draw.
    """
    tf_runtime.seed_everything(seed)
    global_step = tf.train.get_or_create_global_step()
    taken = scalar_variable("batches_taken", tf.int64, 0)
    iterator = tf.data.make_initializable_iterator(make_batches(position))
    batch, waited = _next_batch(iterator, device)
    step = tf.identity(global_step.read_value(), name="step")
    network = build(
        Inputs(batch, step, global_step, device, precision, seed, dict(given_noise or {}), position)
    )
    minimisation = network.minimisation
    with tf.control_dependencies([minimisation.train_op]):
        after = tf.identity(global_step.read_value(), name="step_after")
        done = taken.assign_add(1, read_value=False)
    fetches = {
        "train": tf.group(minimisation.train_op, done),
        "step": after,
        "learning_rate": tf.convert_to_tensor(network.learning_rate),
        "gradient_norm": minimisation.gradient_norm,
        **({} if waited is None else {"waited": waited}),
        **({} if minimisation.loss_scale is None else {"loss_scale": minimisation.loss_scale}),
        "loss": _mean_over_ranks(network.loss, device),
    }
    more = {"diagnostic/" + name: value for name, value in network.diagnostics.items()}
    diagnostics = {**fetches, **more}
    if not tf_runtime.can_call_the_host(device):
        fetches = diagnostics  # another set of fetches would be another graph to compile
    variables = Variables(network.network, global_step)
    return StepGraph(network, iterator, variables, fetches, diagnostics, global_step, batch)


def _next_batch(iterator: Any, device: TensorFlowDevice) -> Any:
    """The batch, and the seconds that the step waited for it (None on an NPU: no clock there)."""
    if not tf_runtime.can_call_the_host(device):
        return iterator.get_next(), None
    asked = tf.timestamp(name="asked")
    with tf.control_dependencies([asked]):
        batch = iterator.get_next()
    with tf.control_dependencies(tf.nest.flatten(batch)):
        arrived = tf.timestamp(name="arrived")
    # Without this a machine with few threads may look at the clock after the network's work.
    with tf.control_dependencies([arrived]):
        batch = tf.nest.map_structure(tf.identity, batch)
    return batch, arrived - asked


def _mean_over_ranks(loss: Any, device: TensorFlowDevice) -> Any:
    parts = tf.reshape(tf.cast(loss, tf.float32), [1]) / float(device.place.world_size)
    return tf_ranks.sum_in_graph(device, parts, "loss")[0]


def parameter_count(network: Any) -> int:
    """Numbers that are trained."""
    return sum(
        int(numpy.prod(variable.shape.as_list(), dtype=numpy.int64))
        for variable in network.trainable_variables
    )


def told_error(error: Any) -> Optional[ZooError]:
    """What a user can mend of TensorFlow's errors, in one line; None for others."""
    first, kind = first_line(error), "" if error.op is None else error.op.type
    if kind.startswith(("IteratorGetNext", "MakeIterator")):
        if isinstance(error, tf.errors.OutOfRangeError):
            return ZooError(
                "the training data ended before the last step: the split holds fewer samples than "
                "a batch, or the pipeline does not repeat; give a smaller --batch_size or more data"
            )
        return ZooError(
            f"the training data can't be read: {first}; verify the files of --data_path"
        )
    if "horovod" in str(error).lower() or re.search("hccl|hcom", first.lower()):
        return InfrastructureError(
            f"another rank is gone or cannot be reached ({first}); see the other ranks' logs"
        )
    return None


# --- the engine ------------------------------------------------------------------------------


class TensorFlowEngine(Engine):
    """Builds the graph where training begins, and runs it in one session."""

    graph: StepGraph
    session: Any

    def __init__(
        self,
        build: Build,
        make_batches: MakeBatches,
        device: TensorFlowDevice,
        precision: Precision,
        settings: Settings,
        subject: Subject,
    ) -> None:
        """Builds nothing yet: loop.train does.

        Args:
            build: builds network, loss and training step on the default graph.
            make_batches: make_batches(n) is the tf.data.Dataset of this rank's batches from number
                n (counted from 0) on, endless or at least as long as training.

        Raises:
            UsageError: the last step is not the last of a run of the session (iterations_per_loop).
        """
        self._build, self._make_batches = build, make_batches
        self.settings, self.subject = settings, subject
        self.device: TensorFlowDevice = device
        self.precision, self.place = precision, device.place
        self.iterations = device.iterations_per_loop
        end = end_of_loops(0, settings.steps, self.iterations)
        if end != settings.steps and not settings.resume:
            raise UsageError(
                f"{settings.steps} steps are no multiple of --iterations_per_loop "
                f"{self.iterations}: give {end} steps, or another loop"
            )
        self._dump = GraphDump(self, device)
        self.begins_after = self._dump.begins_after
        self._compiled = CompilationWatch(device.kind == "npu")
        self._step, self._taken, self._lived = 0, 0, 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with tf.Graph().as_default():
            self.session = None
            try:
                yield
            except tf.errors.OpError as error:
                told = told_error(error)
                if told is None:
                    raise
                raise told from error
            finally:
                if self.session is not None:
                    self.session.close()

    def begin(self, start: Start, wishes: Callable[[], Wishes]) -> None:
        self._step, self._taken, self._wishes = start.step, start.taken, wishes
        if self.place.rank == 0:
            self._dump.tell_if_passed(start.taken)
        end = end_of_loops(start.step, self.settings.steps, self.iterations)
        if end > self.settings.steps > start.step:
            # Skipped steps, or another loop before, may have left a part of a loop to be done.
            self.say(f"note: --iterations_per_loop {self.iterations} ends at step {end}")
        batches, about = self._dump.batches(self._make_batches), (self.device, self.precision)
        more = (start.taken, self.settings.seed, *about, self._dump.given_noise())
        self.graph = graph = build_step_graph(self._build, batches, *more)
        self._dump.prepare(graph.network, graph.batch, graph.global_step)
        sync = tf_ranks.broadcast_in_graph(self.device, tf.global_variables())
        self.session = tf_runtime.open_session(self.device, self.precision)
        # Initial values or a checkpoint's, never both: an initialiser would undo a restore.
        self.session.run([tf.local_variables_initializer(), tf.tables_initializer()])
        if start.checkpoint is not None:
            graph.variables.restore(self.session, start.checkpoint, start.state)
        else:
            self.session.run(tf.global_variables_initializer())
            if graph.network.begin is not None and start.step == 0:
                graph.network.begin(self.session)
        self.session.run(sync)
        self.session.run(graph.iterator.initializer)
        train_op = tf_runtime.looped_on_device(self.device, self.session, graph.fetches["train"])
        for fetches in (graph.fetches, graph.with_diagnostics):
            fetches["train"] = train_op
        self._proof = tracing.proof(self.device, self.session, graph.network.loss)
        self.session.run(graph.iterator.initializer)  # the traced pass took a batch: begin again
        self._dump.begin(self.session)
        if self.place.rank == 0:
            text = str(tf.get_default_graph().as_graph_def())  # a proto's str is its text format
            write_atomically(self.settings.output_path / CHECKPOINTS / "graph.pbtxt", text)

    @property
    def parameters(self) -> int:
        return parameter_count(self.graph.network.network)

    def proof(self) -> str:
        return self._proof

    def advance(self, most: int) -> Tuple[List[StepResult], Wishes]:
        """One run of the session; see Engine."""
        self._compiled.before_step()
        values = self._run_step()
        before, self._step = self._step, int(values["step"])
        recompiled = self._compiled.after_step()
        if recompiled and not self._dump.is_due(self._taken + 1):  # a graph of its own
            self.say(
                f"note: {recompiled} graph(s) compiled again for step {self._step}: something in "
                "the step changes its shape"
            )
        self._taken += self.iterations
        self._lived += self.iterations
        start = "diagnostic/"
        result = StepResult(
            self._step,
            self.iterations,
            float(values["loss"]),
            float(values["learning_rate"]),
            float(values["waited"]) if "waited" in values else None,
            self.iterations - (self._step - before),
            float(values["gradient_norm"]),
            float(values["loss_scale"]) if "loss_scale" in values else None,
            {name[len(start) :]: float(values[name]) for name in values if name.startswith(start)},
        )
        return [result], self._agreed_wishes(before)

    def _run_step(self) -> Dict[str, Any]:
        settings, coming = self.settings, self._step + 1
        due = passes_multiple(self._step, coming, settings.diagnostics_every)
        fetches = self.graph.with_diagnostics if due else self.graph.fetches
        if self._dump.is_due(self._taken + 1):
            return self._dump.run(self.session, fetches)
        profiled = settings.profile and self._lived + 1 == PROFILED_STEP and self.place.rank == 0
        if profiled and self.device.kind != "npu":  # whose profile is its session's own business
            folder = make_folder(Path(settings.output_path) / "profile", "--output_path")
            path = folder / f"timeline_step_{coming:08d}.json"
            self.say(f"timeline of step {coming}: {path}")
            return dict(tracing.run_with_timeline(self.session, fetches, path))
        return dict(self.session.run(fetches))

    def _agreed_wishes(self, before: int) -> Wishes:
        # The exchange is a graph of its own: among accelerators it is not done at every step.
        rarely = self.device.kind != "cpu" and self.place.world_size > 1
        every = self.settings.log_every if rarely else 1
        if passes_multiple(before, self._step, every) or self._step >= self.settings.steps:
            return Wishes(*self.sum_over_ranks(self._wishes()))
        return Wishes(0.0, 0.0)

    def evaluate(self, role: str, step: int, heartbeat: Callable[[], None]) -> Sequence[Evaluation]:
        evaluate = self.graph.network.evaluate
        return () if evaluate is None else evaluate(self.session, step, role)

    def draw(self, step: int) -> Mapping[str, bytes]:
        pictures = self.graph.network.pictures
        return {} if pictures is None else pictures(self.session, step)

    def write(self, folder: Path) -> Mapping[str, Any]:
        self.graph.variables.write(self.session, folder)
        return {"variables": self.graph.variables.described()}

    def load_weights(self, checkpoint: Optional[Path]) -> None:
        if checkpoint is not None:
            self.graph.variables.restore(self.session, checkpoint, read_state(checkpoint))
        self.session.run(tf_ranks.broadcast_in_graph(self.device, tf.global_variables()))

    def sum_over_ranks(self, values: Sequence[float]) -> List[float]:
        return tf_ranks.sum_over_ranks(self.device, values)

    def memory_peak(self) -> int:
        return tf_runtime.memory_peak(self.device)

    def end(self) -> Optional[str]:
        return self._compiled.proof()


def end_of_loops(first: int, last: int, iterations: int) -> int:
    """The step at which whole loops from `first` on have passed `last`."""
    return first - (first - last) // iterations * iterations
