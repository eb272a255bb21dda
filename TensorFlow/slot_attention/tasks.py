"""What each task is, whatever framework computes it: fields of a batch, figures, pictures."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from common.training.evaluation_run import Files, metrics_text
from common.training.run import Evaluation
from slot_attention.metrics.average_precision import THRESHOLDS, average_precision
from slot_attention.metrics.segmentation import added_scores, as_evaluation
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION
from slot_attention.scene_run import SceneRun

PICTURED_IN_TRAINING, PICTURED = 4, 8
Pass = Callable[..., Iterator[Mapping[str, np.ndarray]]]  # run(*names): every batch's outputs
Adder = Callable[[Sequence[float]], List[float]]  # sums over ranks


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a task asks of a batch and makes of a network's outputs.

    Attributes:
        fields: of a batch in training: image, target.
        evaluated: of a batch that is evaluated, by the session's data.
        shared: whether ranks divide a split between them, or each sees all of it.
        found: fields of what the network finds that are told and exported.
        evaluate: from session, a pass over a split, the split and who adds up, to its figures.
        picture: its name; score: of its curve. draw: from session and outputs to its PNG.
    """

    name: str
    fields: Tuple[str, ...]
    evaluated: Callable[[SceneRun], Tuple[str, ...]]
    shared: bool
    found: Tuple[str, ...]
    evaluate: Callable[[SceneRun, Pass, str, Adder], Evaluation]
    picture: str
    score: str
    draw: Callable[[SceneRun, Mapping[str, Any]], bytes]


def without_filling(value: Any, valid: int) -> Any:
    """The part of a batch's output, or of each of several, that is of scenes that count."""
    return [part[:valid] for part in value] if isinstance(value, list) else value[:valid]


def evaluation_files(
    figures: Figures,
    session: SceneRun,
    step: int,
    result: Evaluation,
    first: Callable[[int], Mapping[str, Any]],
) -> Files:
    """What an evaluation writes: metrics as JSON and text, a picture.

    Args:
        step: of the weights. first: all outputs of so many scenes.
    """
    metrics = dict(result.metrics)
    told = {"split": result.split, "n": result.n, "step": step, "metrics": metrics}
    return {
        "metrics.json": json.dumps(told, indent=1) + "\n",
        "metrics.txt": metrics_text(f"{result.n} scenes of {result.split}", metrics),
        f"{figures.picture}.png": lambda: figures.draw(session, first(PICTURED)),
    }


# --- object discovery: slots are held against the masks of the objects ---


def _image_fields(session: SceneRun) -> Tuple[str, ...]:
    return ("image", "mask") if session.dataset.facts.has_masks else ("image",)


def evaluate_discovery(session: SceneRun, run: Pass, split: str, add: Adder) -> Evaluation:
    """Evaluates one pass over a split; every rank gets the figures of all."""
    facts = session.dataset.facts
    names = ("image", "combined") + (("mask", "masks") if facts.has_masks else ())
    own = added_scores(run(*names), facts.background_entities, facts.has_masks)
    return as_evaluation(add(own), facts.has_masks, split)


def _draw_slots(session: SceneRun, values: Mapping[str, Any]) -> bytes:
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


DISCOVERY = Figures(
    name=OBJECT_DISCOVERY,
    fields=("image",),
    evaluated=_image_fields,
    shared=True,
    found=("combined", "reconstructions", "masks", "slots"),
    evaluate=evaluate_discovery,
    picture="slots",
    score="fg_ari",
    draw=_draw_slots,
)

# --- set prediction: average precision by distance ---


def target_rows(session: SceneRun) -> int:
    """How many rows of targets (B, 10, 19) slots are matched to, the first ones.

    Rows that pad a scene are all zero and take part in the matching. With fewer slots than rows
    they would be the cheapest to match, and nothing would be learned of the objects.
    """
    return max(session.choice.slots.count, session.dataset.most_objects)


def _evaluate_prediction(session: SceneRun, run: Pass, split: str, add: Adder) -> Evaluation:
    """Average precision at every threshold; every rank sees the whole split: it doesn't add up."""
    batches = list(run("predictions", "target"))
    predictions, targets = (
        np.concatenate([batch[name] for batch in batches]) for name in ("predictions", "target")
    )
    values = average_precision(predictions, targets).tolist()
    metrics = {f"ap_{threshold:g}": value for threshold, value in zip(THRESHOLDS, values)}
    return Evaluation(split, len(predictions), metrics, score=metrics["ap_inf"])


def _draw_objects(session: SceneRun, values: Mapping[str, Any]) -> bytes:
    """What a pass gave, drawn over the images."""
    from common.evidence.figures.figure import png_bytes
    from slot_attention.pictures.objects import set_figure

    return png_bytes(set_figure(values["image"], values["predictions"], values["target"]))


PREDICTION = Figures(
    name=SET_PREDICTION,
    fields=("image", "target"),
    evaluated=lambda session: ("image", "target"),
    shared=False,
    found=("predictions", "slots"),
    evaluate=_evaluate_prediction,
    picture="objects",
    score="ap_inf",
    draw=_draw_objects,
)

FIGURES = {figures.name: figures for figures in (DISCOVERY, PREDICTION)}

# --- what files and arrays of a network hold ---

MEANING: Dict[str, str] = {
    "images": "RGB bytes; the network scales them to [-1, 1] itself",
    "noise": "drawn from the standard normal distribution, for the initial slots",
    "combined": "the reconstruction, in [-1, 1]",
    "reconstructions": "of each slot, in [-1, 1]",
    "masks": "of each slot; they add up to 1 at every pixel",
    "predictions": "of each slot 19 values in [0, 1]: position / 6 + 0.5 (3), size (2), "
    "material (2), shape (3), color (8), whether there is an object (1)",
    "slots": "the slots themselves",
}
