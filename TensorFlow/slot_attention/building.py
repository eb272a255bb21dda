"""One training and one pass over a split, in graphs, for both tasks."""

from __future__ import annotations

import functools
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from common.machine.ranks import ALONE
from common.training.run import Evaluation
from common.training.stored_weights import FoundCheckpoint, StoredWeights
from common.training.tensorflow import ranks as tf_ranks
from common.training.tensorflow.activations import recording
from common.training.tensorflow.description import Build, Inputs, TrainingGraph
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.of_step import scheduled_rate, step_seed
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import draw_initial_weights, load_stored, named_weights
from slot_attention.data.batches import EvaluationOrder
from slot_attention.data.pipeline import scene_batches
from slot_attention.losses import diagnostics, hungarian_huber_loss, reconstruction_loss
from slot_attention.network.architecture import GAUSSIAN, SlotSettings
from slot_attention.network.choice import NetworkChoice
from slot_attention.network.networks import network_of
from slot_attention.network.stored import ADVICE, key_in
from slot_attention.options import OBJECT_DISCOVERY
from slot_attention.scene_run import schedule_of
from slot_attention.session import Session
from slot_attention.tasks import FIGURES, PICTURED_IN_TRAINING, target_rows, without_filling

Batch = Mapping[str, Any]


def loss_of(session: Session, batch: Batch, found: Any) -> tf.Tensor:
    """The loss of what the session's network made of a batch."""
    if session.options.task == OBJECT_DISCOVERY:
        return reconstruction_loss(batch["image"], found.combined)
    return hungarian_huber_loss(batch["target"][:, : target_rows(session)], found.predictions)


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
        self, session: Session, network: Any, split: str, count: Optional[int] = None
    ) -> None:
        """Builds the pass into the default graph.

        Args:
            count: scenes of all ranks together, rounded up to whole batches; None for all.
        """
        size = session.options.evaluation_batch_size
        figures = FIGURES[session.options.task]
        self._figures, self._session, self._split = figures, session, split
        place = session.place if figures.shared else ALONE
        scenes = len(session.dataset.split(split).images)
        order = EvaluationOrder(scenes, size, place.rank, place.world_size)
        fields = figures.evaluated(session)
        batches = scene_batches(session.dataset, split, order, fields, session.workers)
        if count is not None:
            batches = batches.take(-(-count // (size * place.world_size)))
        numbered = tf.data.Dataset.zip((tf.data.Dataset.range(2**31 - 1), batches))
        self._iterator = tf.data.make_initializable_iterator(numbered)
        number, batch = self._iterator.get_next()
        seed = step_seed(session.options.seed, number, "evaluation", place.rank)
        found = network(batch["image"], drawn_noise(session.choice.slots, size, seed))
        self._outputs = {name: batch[name] for name in (*fields, "valid")}
        if "target" in fields:
            self._outputs["target"] = batch["target"][:, : target_rows(session)]
        for name in (*figures.found, "attention"):
            self._outputs[name] = getattr(found, name)

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
        add = functools.partial(tf_ranks.sum_over_ranks, own.device)
        return self._figures.evaluate(own, functools.partial(self.run, session), self._split, add)

    def first(self, session: Any, count: int) -> Dict[str, Any]:
        """All outputs of the first scenes, at most a batch."""
        values = next(self.run(session))
        return {name: without_filling(value, count) for name, value in values.items()}


def build_training(session: Session) -> Build:
    """The build function of a training."""
    options, choice = session.options, session.choice
    figures = FIGURES[options.task]

    def build(inputs: Inputs) -> TrainingGraph:
        network = network_of(options.task, choice)
        noise = training_noise(inputs, choice.slots, options.batch_size)
        with recording(network) as activations:
            found = network(inputs.batch["image"], noise.get("slots"))
            loss = loss_of(session, inputs.batch, found)
        rate = scheduled_rate(schedule_of(session), inputs.step)
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
            role: ScenePass(session, network, split, options.evaluation_count)
            for role, split in splits.items()
        }

        def evaluate(running: Any, step: int, role: str) -> Any:
            role = role if role == "progress" else "final"
            return [passes[role].evaluate(running)]

        def pictures(running: Any, step: int) -> Mapping[str, bytes]:
            values = passes["progress"].first(running, PICTURED_IN_TRAINING)
            return {figures.picture: figures.draw(session, values)}

        return TrainingGraph(
            loss,
            rate,
            step,
            network,
            diagnostics=diagnostics(found),
            evaluate=evaluate,
            pictures=pictures,
            begin=lambda running: draw_initial_weights(running, network, inputs.seed),
            activations=activations,
            noise=noise,
        )

    return build


def built_network(task: str, choice: NetworkChoice) -> Tuple[Any, Any]:
    """The network with its variables made, for weights to be loaded, and the slots of one image."""
    network, size, slots = network_of(task, choice), choice.resolution, choice.slots
    found = network(tf.zeros([1, size, size, 3]), tf.zeros([1, slots.count, slots.size]))
    return network, found.slots


def load_weights(session: Any, network: Any, found: FoundCheckpoint, task: str) -> None:
    """Puts a checkpoint's weights into a network whose variables are built.

    ZooError: damaged, of the other task, or of a network of other sizes.
    """
    stored = StoredWeights(found.prefix)
    key = key_in(stored, task)
    weights = {key(path): weight for path, weight in named_weights(network).items()}
    load_stored(session, stored, weights, ADVICE)
