"""Set prediction: the properties of every object, one slot each; average precision by distance."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from common.training.run import Evaluation
from slot_attention.building import ScenePass, Task
from slot_attention.diagnostics import attention_diagnostics
from slot_attention.losses import hungarian_huber_loss
from slot_attention.metrics.average_precision import THRESHOLDS, average_precision
from slot_attention.network.networks import SlotAttentionClassifier
from slot_attention.options import SET_PREDICTION
from slot_attention.session import Session


def target_rows(session: Session, targets: Any, found: Any) -> Any:
    """The rows of targets (B, 10, 19) that slots are matched to.

    Rows that pad a scene are all zero and take part in the matching. With fewer slots than rows
    they would be the cheapest to match, and nothing would be learned of the objects.
    """
    slots = found.predictions.shape.as_list()[1]
    return targets[:, : max(slots, session.dataset.most_objects)]


def evaluate(running: Any, session: Session, scenes: ScenePass, split: str) -> Evaluation:
    """Average precision at every threshold; every rank sees the whole split: it doesn't add up."""
    batches = list(scenes.run(running, "predictions", "target"))
    predictions, targets = (
        np.concatenate([batch[name] for batch in batches]) for name in ("predictions", "target")
    )
    values = average_precision(predictions, targets).tolist()
    metrics = {f"ap_{threshold:g}": value for threshold, value in zip(THRESHOLDS, values)}
    return Evaluation(split, len(predictions), metrics, score=metrics["ap_inf"])


def draw(session: Session, values: Mapping[str, Any]) -> bytes:
    """What a pass gave, drawn over the images, as a PNG."""
    from common.evidence.figures.figure import png_bytes
    from slot_attention.pictures.objects import set_figure

    return png_bytes(set_figure(values["image"], values["predictions"], values["target"]))


TASK = Task(
    name=SET_PREDICTION,
    fields=("image", "target"),
    evaluated=lambda session: ("image", "target"),
    shared=False,
    network=lambda choice: SlotAttentionClassifier(choice.resolution, choice.slots, choice.strides),
    loss=lambda session, batch, found: hungarian_huber_loss(
        target_rows(session, batch["target"], found), found.predictions
    ),
    diagnostics=lambda found: attention_diagnostics(found.attention[-1], found.slots),
    outputs=lambda session, batch, found: {
        "image": batch["image"],
        "target": target_rows(session, batch["target"], found),
        "predictions": found.predictions,
    },
    evaluate=evaluate,
    picture="objects",
    draw=draw,
)
