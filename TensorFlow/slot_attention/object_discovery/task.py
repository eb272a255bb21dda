"""Object discovery: reconstruct the image; slots are held against the masks of the objects."""

from __future__ import annotations

from typing import Any, Dict

from slot_attention.building import Batch, Task
from slot_attention.diagnostics import discovery_diagnostics
from slot_attention.losses import reconstruction_loss
from slot_attention.network.networks import SlotAttentionAutoEncoder
from slot_attention.session import Session
from slot_attention.tasks import DISCOVERY


def _outputs(session: Session, batch: Batch, found: Any) -> Dict[str, Any]:
    return {
        **{name: batch[name] for name in DISCOVERY.evaluated(session)},
        **{name: getattr(found, name) for name in (*DISCOVERY.found, "attention")},
    }


TASK = Task(
    figures=DISCOVERY,
    network=lambda choice: SlotAttentionAutoEncoder(choice.architecture, choice.slots),
    loss=lambda session, batch, found: reconstruction_loss(batch["image"], found.combined),
    diagnostics=lambda found: discovery_diagnostics(found.attention[-1], found.masks, found.slots),
    outputs=_outputs,
)
