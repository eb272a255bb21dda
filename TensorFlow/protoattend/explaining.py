"""From decisions to what people see of them: names, images, prototypes."""

from __future__ import annotations

from typing import List, Optional, Sequence

from protoattend.data.labelled_images import LabelledImages
from protoattend.gallery.explained import Explained, Prototype
from protoattend.metrics.decisions import Decisions

UNKNOWN = -1  # the label of an image whose class nobody told


def explained(
    decisions: Decisions,
    images: LabelledImages,
    candidates: LabelledImages,
    class_names: Sequence[str],
    names: Optional[Sequence[str]] = None,
) -> List[Explained]:
    """Each decision with its input and its heaviest prototypes.

    Args:
        images: what was decided on, in the order of the decisions; label UNKNOWN where there is
            none.
        candidates: the database that the decisions' rows are of.
        names: of the images; their numbers when None.
    """
    predicted, confidence = decisions.predicted, decisions.confidence
    found = []
    for number in range(len(decisions)):
        label = int(images.labels[number])
        found.append(
            Explained(
                name=names[number] if names is not None else f"image {number}",
                image=images.images[number],
                label=None if label == UNKNOWN else class_names[label],
                predicted=class_names[int(predicted[number])],
                confidence=float(confidence[number]),
                prototypes=_prototypes(decisions, number, candidates, class_names),
            )
        )
    return found


def _prototypes(
    decisions: Decisions, number: int, candidates: LabelledImages, class_names: Sequence[str]
) -> List[Prototype]:
    return [
        Prototype(
            candidates.images[row],
            class_names[int(candidates.labels[row])],
            float(weight),
            int(row),
        )
        for row, weight in zip(decisions.top_candidates[number], decisions.top_weights[number])
        if weight > 0
    ]
