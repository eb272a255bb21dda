"""Object discovery: reconstruct the image; slots are held against the masks of the objects."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from slot_attention.building import Batch, Task
from slot_attention.diagnostics import discovery_diagnostics
from slot_attention.losses import reconstruction_loss
from slot_attention.metrics.segmentation import (
    adjusted_rand_index,
    mean_best_overlap,
    reconstruction_error,
)
from slot_attention.network.networks import SlotAttentionAutoEncoder
from slot_attention.options import OBJECT_DISCOVERY
from slot_attention.scene_passes import ScenePass
from slot_attention.session import Session

ERROR, SCORE = "reconstruction_error", "fg_ari"
WITH_MASKS = (SCORE, "ari", "fg_ari_soft", "mean_best_overlap", ERROR)


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


def image_scores(batch: Mapping[str, np.ndarray], background: int) -> Dict[str, np.ndarray]:
    """Metrics of every image of a batch, float64 (B,); nan where a metric has no value.

    Args:
        batch: image, combined (B, H, W, 3); with masks also mask (B, N, H, W) 0 or 1 and masks
            (B, K, H, W, 1).
        background: how many of the first entities are background; they count as one.
    """
    scores = {ERROR: reconstruction_error(batch["image"], batch["combined"])}
    if "mask" in batch:
        true, found = batch["mask"], batch["masks"]
        joined = true[:, :background].max(axis=1, keepdims=True)
        true = np.concatenate([joined, true[:, background:]], axis=1)
        scores["fg_ari"] = adjusted_rand_index(true, found, True)
        scores["ari"] = adjusted_rand_index(true, found, False)
        scores["fg_ari_soft"] = adjusted_rand_index(true, found, True, binarised=False)
        scores["mean_best_overlap"] = mean_best_overlap(true, found)
    return scores


def evaluate(running: Any, session: Session, scenes: ScenePass, split: str) -> Evaluation:
    """Evaluates one pass over a split; every rank gets the figures of all."""
    facts = session.dataset.facts
    has_masks, background = facts.has_masks, facts.background_entities
    names = ("image", "combined") + (("mask", "masks") if has_masks else ())
    metrics = WITH_MASKS if has_masks else (ERROR,)
    scores = [image_scores(batch, background) for batch in scenes.run(running, *names)]
    # A rank without a scene of a small split takes part with zeros.
    values = [np.concatenate([[], *(one[name] for one in scores)]) for name in metrics]
    own = [float(np.nansum(value)) for value in values]
    own += [float(np.sum(~np.isnan(value))) for value in values]
    return as_evaluation(metrics, tf_runtime.sum_over_ranks(session.device, own), split)


def as_evaluation(metrics: Tuple[str, ...], added: List[float], split: str) -> Evaluation:
    """The means of sums and then counts by metric; images without foreground are counted apart."""
    sums, counts = (dict(zip(metrics, part)) for part in np.reshape(added, (2, -1)).tolist())
    means = {name: sums[name] / counts[name] if counts[name] else float("nan") for name in metrics}
    n = int(round(counts[ERROR]))
    if SCORE not in metrics:
        return Evaluation(split, n, means, score=-means[ERROR])
    means["without_foreground"] = n - counts[SCORE]
    return Evaluation(split, n, means, score=means[SCORE])


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
