"""One training and one evaluation for both tasks: a task says what is its own."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from common.training.run import Evaluation
from common.training.tensorflow.activations import recording
from common.training.tensorflow.description import Build, Inputs, TrainingGraph
from common.training.tensorflow.initial_weights import draw_initial_weights
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.of_step import Schedule
from common.training.tensorflow.runtime import tf
from slot_attention.network.choice import NetworkChoice
from slot_attention.scene_passes import ScenePass, training_noise
from slot_attention.session import Session

PICTURED_IN_TRAINING, PICTURED = 4, 8
Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """What a task gives.

    Attributes:
        fields: of a batch in training: image, target.
        evaluated: of a batch that is evaluated, by the session's data.
        shared: whether ranks divide a split between them, or each sees all of it.
        network: makes the network; called with images and noise it gives what was found.
        loss: from session, batch and what was found.
        diagnostics: of what was found, scalars by name.
        outputs: from session, batch and what was found to all that metrics and pictures need.
        evaluate: from a running session, a pass over a split and its name to its figures.
        picture: its name. draw: from session and a pass's first outputs to its PNG.
    """

    name: str
    fields: Tuple[str, ...]
    evaluated: Callable[[Session], Tuple[str, ...]]
    shared: bool
    network: Callable[[NetworkChoice], Any]
    loss: Callable[[Session, Batch, Any], Any]
    diagnostics: Callable[[Any], Dict[str, Any]]
    outputs: Callable[[Session, Batch, Any], Dict[str, Any]]
    evaluate: Callable[[Any, Session, ScenePass, str], Evaluation]
    picture: str
    draw: Callable[[Session, Mapping[str, Any]], bytes]


def scene_pass(
    task: Task,
    session: Session,
    choice: NetworkChoice,
    network: Any,
    split: str,
    count: Optional[int],
) -> ScenePass:
    """A pass of a network over a split; count None for all scenes."""
    return ScenePass(
        session,
        split,
        count,
        choice.slots,
        task.evaluated(session),
        lambda batch, noise: task.outputs(session, batch, network(batch["image"], noise)),
        task.shared,
    )


def build_training(task: Task, session: Session, schedule: Schedule) -> Build:
    """The build function of a training."""
    options, choice = session.options, session.choice

    def build(inputs: Inputs) -> TrainingGraph:
        network = task.network(choice)
        noise = training_noise(inputs, choice.slots, options.batch_size)
        with recording(network) as activations:
            found = network(inputs.batch["image"], noise.get("slots"))
            loss = task.loss(session, inputs.batch, found)
        rate = schedule.rate(inputs.step)
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
            role: scene_pass(task, session, choice, network, split, options.evaluation_count)
            for role, split in splits.items()
        }

        def evaluate(running: Any, step: int, role: str) -> Any:
            role = role if role == "progress" else "final"
            return [task.evaluate(running, session, passes[role], splits[role])]

        def pictures(running: Any, step: int) -> Mapping[str, bytes]:
            values = passes["progress"].first(running, PICTURED_IN_TRAINING)
            return {task.picture: task.draw(session, values)}

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
