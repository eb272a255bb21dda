"""Builds the graph of object discovery: network, loss, training step, passes over other splits."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.activations import recording
from common.training.tensorflow.description import Inputs, TrainingGraph
from common.training.tensorflow.initial_weights import draw_initial_weights
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.optimizers import adam
from common.training.tensorflow.runtime import tf
from slot_attention.diagnostics import discovery_diagnostics
from slot_attention.losses import reconstruction_loss
from slot_attention.network.autoencoder import SlotAttentionAutoEncoder
from slot_attention.network.choice import NetworkChoice
from slot_attention.object_discovery.segmentation import evaluate_pass
from slot_attention.recipe import learning_rate
from slot_attention.scene_passes import ScenePass, training_noise
from slot_attention.session import Session

PICTURED = 4


def image_fields(session: Session) -> Tuple[str, ...]:
    """What is asked of a batch that is evaluated."""
    return ("image", "mask") if session.dataset.has_masks else ("image",)


def discovery_pass(
    session: Session, choice: NetworkChoice, network: Any, split: str, count: Optional[int]
) -> ScenePass:
    """A pass of a network over a split, with all that metrics and pictures need."""

    def outputs(batch: Dict[str, Any], noise: Any) -> Dict[str, Any]:
        found = network(batch["image"], noise)
        given = {
            "image": batch["image"],
            "combined": found.combined,
            "masks": found.masks,
            "reconstructions": found.reconstructions,
            "attention": found.attention,
            "slots": found.slots,
        }
        return dict(given, mask=batch["mask"]) if "mask" in batch else given

    return ScenePass(
        session,
        split,
        session.geometry(choice.resolution),
        count,
        choice.slots,
        image_fields(session),
        outputs,
    )


def build_training(session: Session, choice: NetworkChoice) -> Callable[[Inputs], TrainingGraph]:
    """The build function of a training."""

    def build(inputs: Inputs) -> TrainingGraph:
        network = SlotAttentionAutoEncoder(choice.architecture, choice.slots)
        images = inputs.batch["image"]
        noise = training_noise(inputs, choice.slots, session.options.batch_size)
        with recording(network) as activations:
            found = network(images, noise.get("slots"))
        loss = reconstruction_loss(images, found.combined)
        rate = learning_rate(session, inputs.step)
        step = minimise(
            loss,
            adam(rate),
            network.trainable_weights,
            inputs.device,
            inputs.precision,
            inputs.global_step,
            clip_norm=session.options.clip_gradient_norm or None,
        )
        passes = _Passes(session, choice, network)
        return TrainingGraph(
            loss,
            rate,
            step,
            network,
            diagnostics=discovery_diagnostics(found.attention[-1], found.masks, found.slots),
            evaluate=passes.evaluate,
            pictures=passes.pictures,
            begin=lambda running: draw_initial_weights(running, network, inputs.seed),
            activations=activations,
            noise=noise,
        )

    return build


class _Passes:
    """The passes over other splits that training makes on its way and at its end."""

    def __init__(self, session: Session, choice: NetworkChoice, network: Any) -> None:
        self._session = session
        count = session.options.evaluation_count
        self._by_role = {
            "progress": (
                session.validation_split,
                discovery_pass(session, choice, network, session.validation_split, count),
            ),
            "final": (
                session.test_split,
                discovery_pass(session, choice, network, session.test_split, count),
            ),
        }

    def evaluate(self, session: Any, step: int, role: str) -> Any:
        """The figures of the validation split on the way, of the test split at the end."""
        split, scenes = self._by_role["progress" if role == "progress" else "final"]
        own = self._session
        return [
            evaluate_pass(
                session,
                scenes,
                own.dataset.has_masks,
                own.dataset.background_entities,
                lambda values: tf_runtime.sum_over_ranks(own.device, values),
                split,
            )
        ]

    def pictures(self, session: Any, step: int) -> Mapping[str, bytes]:
        """The first scenes of the validation split."""
        values = self._by_role["progress"][1].first(session, PICTURED)
        return {"slots": slot_png(self._session, values)}


def slot_png(session: Session, values: Mapping[str, Any]) -> bytes:
    """What a pass gave, drawn."""
    from common.evidence.figures.figure import png_bytes
    from slot_attention.pictures.slots import SlotView, slot_figure

    view = SlotView(
        values["image"],
        values["combined"],
        values["reconstructions"],
        values["masks"],
        values["attention"],
        values.get("mask"),
        session.dataset.background_entities,
    )
    return png_bytes(slot_figure(view))


def built_network(choice: NetworkChoice) -> Tuple[Any, Any]:
    """The network with its variables made, for weights to be loaded, and the slots of one image."""
    network = SlotAttentionAutoEncoder(choice.architecture, choice.slots)
    size, slots = choice.resolution, choice.slots
    found = network(tf.zeros([1, size, size, 3]), tf.zeros([1, slots.count, slots.size]))
    return network, found.slots
