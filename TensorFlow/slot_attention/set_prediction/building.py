"""Builds the graph of set prediction: network, loss, training step, passes over other splits."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from common.training.tensorflow.activations import recording
from common.training.tensorflow.description import Inputs, TrainingGraph
from common.training.tensorflow.initial_weights import draw_initial_weights
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.optimizers import adam
from common.training.tensorflow.runtime import tf
from slot_attention.diagnostics import attention_diagnostics
from slot_attention.losses import hungarian_huber_loss
from slot_attention.network.choice import NetworkChoice
from slot_attention.network.set_predictor import SlotAttentionClassifier
from slot_attention.recipe import learning_rate
from slot_attention.scene_passes import ScenePass, training_noise
from slot_attention.session import Session
from slot_attention.set_prediction.matching_precision import evaluate_pass

PICTURED = 4
FIELDS = ("image", "target")


def target_rows(session: Session, choice: NetworkChoice, targets: Any) -> Any:
    """The rows of targets (B, 10, 19) that slots are matched to.

    Rows that pad a scene are all zero and take part in the matching. With fewer slots than rows
    they would be the cheapest to match, and nothing would be learned of the objects.
    """
    return targets[:, : max(choice.slots.count, session.dataset.most_objects)]


def prediction_pass(
    session: Session, choice: NetworkChoice, network: Any, split: str, count: Optional[int]
) -> ScenePass:
    """A pass of a network over a split, with all that metrics and pictures need."""

    def outputs(batch: Dict[str, Any], noise: Any) -> Dict[str, Any]:
        found = network(batch["image"], noise)
        return {
            "image": batch["image"],
            "target": target_rows(session, choice, batch["target"]),
            "predictions": found.predictions,
        }

    return ScenePass(
        session,
        split,
        session.geometry(choice.resolution),
        count,
        choice.slots,
        FIELDS,
        outputs,
        shared=False,
    )


def build_training(session: Session, choice: NetworkChoice) -> Callable[[Inputs], TrainingGraph]:
    """The build function of a training."""

    def build(inputs: Inputs) -> TrainingGraph:
        network = SlotAttentionClassifier(choice.resolution, choice.slots, choice.strides)
        noise = training_noise(inputs, choice.slots, session.options.batch_size)
        targets = target_rows(session, choice, inputs.batch["target"])
        with recording(network) as activations:
            found = network(inputs.batch["image"], noise.get("slots"))
            loss = hungarian_huber_loss(targets, found.predictions)
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
            diagnostics=attention_diagnostics(found.attention[-1], found.slots),
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
        count = session.options.evaluation_count
        self._by_role = {
            role: (split, prediction_pass(session, choice, network, split, count))
            for role, split in (
                ("progress", session.validation_split),
                ("final", session.test_split),
            )
        }

    def evaluate(self, session: Any, step: int, role: str) -> Any:
        """The figures of the validation split on the way, of the test split at the end."""
        split, scenes = self._by_role["progress" if role == "progress" else "final"]
        return [evaluate_pass(session, scenes, split)]

    def pictures(self, session: Any, step: int) -> Mapping[str, bytes]:
        """The first scenes of the validation split."""
        values = self._by_role["progress"][1].first(session, PICTURED)
        return {"objects": prediction_png(values)}


def prediction_png(values: Mapping[str, Any]) -> bytes:
    """What a pass gave, drawn over the images."""
    from common.evidence.figures.figure import png_bytes
    from slot_attention.pictures.objects import set_figure

    return png_bytes(set_figure(values["image"], values["predictions"], values["target"]))


def built_network(choice: NetworkChoice) -> Tuple[Any, Any]:
    """The network with its variables made, for weights to be loaded, and the slots of one image."""
    network = SlotAttentionClassifier(choice.resolution, choice.slots, choice.strides)
    size, slots = choice.resolution, choice.slots
    found = network(tf.zeros([1, size, size, 3]), tf.zeros([1, slots.count, slots.size]))
    return network, found.slots
