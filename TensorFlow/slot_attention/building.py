"""One training and one pass over a split for both tasks: a task says what is its own."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

from common.machine.ranks import ALONE
from common.training.run import Evaluation
from common.training.schedule import Schedule
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.activations import recording
from common.training.tensorflow.description import Build, Inputs, TrainingGraph
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.of_step import scheduled_rate, step_seed
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import draw_initial_weights
from slot_attention.data.batches import EvaluationOrder
from slot_attention.data.pipeline import scene_batches
from slot_attention.network.architecture import GAUSSIAN, SlotSettings
from slot_attention.network.choice import NetworkChoice
from slot_attention.session import Session
from slot_attention.tasks import PICTURED_IN_TRAINING, Figures, without_filling

Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """What a task gives beside its figures, in graphs.

    Attributes:
        network: makes the network; called with images and noise it gives what was found.
        loss: from session, batch and what was found.
        diagnostics: of what was found, scalars by name.
        outputs: from session, batch and what was found to all that metrics and pictures need.
    """

    figures: Figures
    network: Callable[[NetworkChoice], Any]
    loss: Callable[[Session, Batch, Any], Any]
    diagnostics: Callable[[Any], Dict[str, Any]]
    outputs: Callable[[Session, Batch, Any], Dict[str, Any]]


def drawn_noise(settings: SlotSettings, batch: int, seed: tf.Tensor) -> Optional[tf.Tensor]:
    """Standard normal noise (batch, K, D) for the initial slots; None where they are learned."""
    if settings.initial != GAUSSIAN:
        return None
    return tf.random.stateless_normal([batch, settings.count, settings.size], seed=seed)


def training_noise(inputs: Inputs, settings: SlotSettings, batch: int) -> Dict[str, tf.Tensor]:
    """The noise of a training step by name: "slots", or nothing where they are learned."""
    drawn = drawn_noise(
        settings, batch, step_seed(inputs.seed, inputs.step, "slots", inputs.device.place.rank)
    )
    return {} if drawn is None else {"slots": inputs.noise("slots", drawn)}


class ScenePass:
    """Runs what a network makes of a split, scene by scene in order.

    Noise depends on the run's seed and the batch alone: the same weights give the same figures.
    """

    def __init__(
        self, task: Task, session: Session, network: Any, split: str, count: Optional[int]
    ) -> None:
        """Builds the pass into the default graph.

        Args:
            count: scenes of all ranks together, rounded up to whole batches; None for all.
        """
        size = session.options.evaluation_batch_size
        self._figures, self._session, self._split = task.figures, session, split
        place = session.place if task.figures.shared else ALONE
        scenes = len(session.dataset.split(split).images)
        order = EvaluationOrder(scenes, size, place.rank, place.world_size)
        fields = task.figures.evaluated(session)
        batches = scene_batches(session.dataset, split, order, fields, session.workers)
        if count is not None:
            batches = batches.take(-(-count // (size * place.world_size)))
        numbered = tf.data.Dataset.zip((tf.data.Dataset.range(2**31 - 1), batches))
        self._iterator = tf.data.make_initializable_iterator(numbered)
        number, batch = self._iterator.get_next()
        seed = step_seed(session.options.seed, number, "evaluation", place.rank)
        found = network(batch["image"], drawn_noise(session.choice.slots, size, seed))
        self._outputs = dict(task.outputs(session, batch, found), valid=batch["valid"])

    def run(self, session: Any, *names: str) -> Iterator[Dict[str, Any]]:
        """Yields outputs of every batch, all or the named ones, without scenes that fill it up."""
        wanted = {name: self._outputs[name] for name in (*(names or self._outputs), "valid")}
        session.run(self._iterator.initializer)
        while True:
            try:
                values = session.run(wanted)
            except tf.errors.OutOfRangeError:
                return
            valid = int(values.pop("valid"))
            yield {name: without_filling(value, valid) for name, value in values.items()}

    def evaluate(self, session: Any) -> Evaluation:
        """Evaluates the whole pass."""
        own = self._session
        add = functools.partial(tf_runtime.sum_over_ranks, own.device)
        return self._figures.evaluate(own, functools.partial(self.run, session), self._split, add)

    def first(self, session: Any, count: int) -> Dict[str, Any]:
        """All outputs of the first scenes, at most a batch."""
        values = next(self.run(session))
        return {name: without_filling(value, count) for name, value in values.items()}


def build_training(task: Task, session: Session, schedule: Schedule) -> Build:
    """The build function of a training."""
    options, choice = session.options, session.choice

    def build(inputs: Inputs) -> TrainingGraph:
        network = task.network(choice)
        noise = training_noise(inputs, choice.slots, options.batch_size)
        with recording(network) as activations:
            found = network(inputs.batch["image"], noise.get("slots"))
            loss = task.loss(session, inputs.batch, found)
        rate = scheduled_rate(schedule, inputs.step)
        step = minimise(
            loss,
            tf.train.AdamOptimizer(rate),
            network.trainable_weights,
            inputs.device,
            inputs.precision,
            inputs.global_step,
            clip_norm=options.clip_gradient_norm or None,
        )
        splits = {"progress": session.validation_split, "final": session.test_split}
        passes = {
            role: ScenePass(task, session, network, split, options.evaluation_count)
            for role, split in splits.items()
        }

        def evaluate(running: Any, step: int, role: str) -> Any:
            role = role if role == "progress" else "final"
            return [passes[role].evaluate(running)]

        def pictures(running: Any, step: int) -> Mapping[str, bytes]:
            values = passes["progress"].first(running, PICTURED_IN_TRAINING)
            return {task.figures.picture: task.figures.draw(session, values)}

        return TrainingGraph(
            loss,
            rate,
            step,
            network,
            diagnostics=task.diagnostics(found),
            evaluate=evaluate,
            pictures=pictures,
            begin=lambda running: draw_initial_weights(running, network, inputs.seed),
            activations=activations,
            noise=noise,
        )

    return build


def built_network(task: Task, choice: NetworkChoice) -> Tuple[Any, Any]:
    """The network with its variables made, for weights to be loaded, and the slots of one image."""
    network, size, slots = task.network(choice), choice.resolution, choice.slots
    found = network(tf.zeros([1, size, size, 3]), tf.zeros([1, slots.count, slots.size]))
    return network, found.slots
