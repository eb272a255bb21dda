"""Set prediction: the properties of every object, one slot each; average precision by distance."""

from __future__ import annotations

from typing import Any

from slot_attention.building import Batch, Task
from slot_attention.diagnostics import attention_diagnostics
from slot_attention.losses import hungarian_huber_loss
from slot_attention.network.networks import SlotAttentionClassifier
from slot_attention.session import Session
from slot_attention.tasks import PREDICTION, target_rows


def _targets(session: Session, batch: Batch) -> Any:
    return batch["target"][:, : target_rows(session)]


TASK = Task(
    figures=PREDICTION,
    network=lambda choice: SlotAttentionClassifier(choice.resolution, choice.slots, choice.strides),
    loss=lambda session, batch, found: hungarian_huber_loss(
        _targets(session, batch), found.predictions
    ),
    diagnostics=lambda found: attention_diagnostics(found.attention[-1], found.slots),
    outputs=lambda session, batch, found: {
        "image": batch["image"],
        "target": _targets(session, batch),
        "predictions": found.predictions,
    },
)
