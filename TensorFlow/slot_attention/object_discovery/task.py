"""Object discovery: reconstruct the image; slots are held against the masks of the objects."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from slot_attention.building import Batch, ScenePass, Task
from slot_attention.diagnostics import discovery_diagnostics
from slot_attention.losses import reconstruction_loss
from slot_attention.metrics.segmentation import added_scores, as_evaluation
from slot_attention.network.networks import SlotAttentionAutoEncoder
from slot_attention.options import OBJECT_DISCOVERY
from slot_attention.session import Session


def image_fields(session: Session) -> Tuple[str, ...]:
    """What is asked of a batch that is evaluated."""
    return ("image", "mask") if session.dataset.facts.has_masks else ("image",)


def _outputs(session: Session, batch: Batch, found: Any) -> Dict[str, Any]:
    return {
        **{name: batch[name] for name in image_fields(session)},
        "combined": found.combined,
        "masks": found.masks,
        "reconstructions": found.reconstructions,
        "attention": found.attention,
        "slots": found.slots,
    }


def evaluate(running: Any, session: Session, scenes: ScenePass, split: str) -> Evaluation:
    """Evaluates one pass over a split; every rank gets the figures of all."""
    facts = session.dataset.facts
    names = ("image", "combined") + (("mask", "masks") if facts.has_masks else ())
    batches = scenes.run(running, *names)
    own = added_scores(batches, facts.background_entities, facts.has_masks)
    added = tf_runtime.sum_over_ranks(session.device, own)
    return as_evaluation(added, facts.has_masks, split)


def draw(session: Session, values: Mapping[str, Any]) -> bytes:
    """What a pass gave, as a PNG."""
    from common.evidence.figures.figure import png_bytes
    from slot_attention.pictures.slots import SlotView, slot_figure

    view = SlotView(
        values["image"],
        values["combined"],
        values["reconstructions"],
        values["masks"],
        values["attention"],
        values.get("mask"),
        session.dataset.facts.background_entities,
    )
    return png_bytes(slot_figure(view))


TASK = Task(
    name=OBJECT_DISCOVERY,
    fields=("image",),
    evaluated=image_fields,
    shared=True,
    network=lambda choice: SlotAttentionAutoEncoder(choice.architecture, choice.slots),
    loss=lambda session, batch, found: reconstruction_loss(batch["image"], found.combined),
    diagnostics=lambda found: discovery_diagnostics(found.attention[-1], found.masks, found.slots),
    outputs=_outputs,
    evaluate=evaluate,
    picture="slots",
    draw=draw,
)
