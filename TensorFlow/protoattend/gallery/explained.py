"""A decision with what people want to see of it: the input, its prototypes, its confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy as np

from common.data.labelled_images import LabelledImages
from protoattend.metrics.decisions import Decisions

UNKNOWN = -1  # the label of an image whose class nobody told
LEAST_REST = 0.005  # a smaller rest of the weight is not mentioned


@dataclass(frozen=True)
class Prototype:
    """A candidate that took part in a decision.

    image: uint8 (H, W, C), C 1 or 3. label: its class's name. weight: its share of the decision,
    0 to 1. source: which image of the data it is, a file or a row.
    """

    image: np.ndarray
    label: str
    weight: float
    source: str


@dataclass(frozen=True)
class Explained:
    """A decision and its prototypes, heaviest first.

    name: the input's, a file name for example. image: uint8 (H, W, C), C 1 or 3. label: the name of
    its true class, None where that is not known. predicted: the name of the class decided for.
    confidence: 0 to 1.
    """

    name: str
    image: np.ndarray
    label: Optional[str]
    predicted: str
    confidence: float
    prototypes: Sequence[Prototype]

    @property
    def right(self) -> Optional[bool]:
        """Whether the decision is right, None where the label is not known."""
        return None if self.label is None else self.label == self.predicted

    @property
    def outcome(self) -> str:
        """Whether it is right, and the true label where it is wrong, in words."""
        told = {True: "right", False: f"wrong, label {self.label}", None: "label not known"}
        return told[self.right]

    def rest(self, shown: Optional[int] = None) -> float:
        """The weight of all candidates but the prototypes, or the first `shown` of them, 0 to 1."""
        weight = sum(prototype.weight for prototype in self.prototypes[:shown])
        return min(max(1 - weight, 0.0), 1.0)


def unlabelled(images: np.ndarray, names: Optional[Sequence[str]] = None) -> LabelledImages:
    """Images whose classes nobody told."""
    labels = np.full(len(images), UNKNOWN, np.int32)
    return LabelledImages(images, labels, names=None if names is None else np.array(names))


def explained(
    decisions: Decisions,
    images: LabelledImages,
    candidates: LabelledImages,
    class_names: Sequence[str],
) -> List[Explained]:
    """Each decision with its input and its heaviest prototypes.

    Args:
        images: what was decided on, in the order of the decisions.
        candidates: the database that the decisions' rows are of.
    """
    images, candidates = images.named("image"), candidates.named("candidate")

    def prototypes(number: int) -> List[Prototype]:
        heaviest = zip(decisions.top_candidates[number], decisions.top_weights[number])
        return [
            Prototype(
                candidates.images[row],
                class_names[int(candidates.labels[row])],
                float(weight),
                str(candidates.names[row]),
            )
            for row, weight in heaviest
            if weight > 0
        ]

    known = zip(images.names, images.images, images.labels)
    made = zip(decisions.predicted, decisions.confidence)
    return [
        Explained(
            str(name),
            image,
            None if label == UNKNOWN else class_names[int(label)],
            class_names[int(predicted)],
            float(confidence),
            prototypes(number),
        )
        for number, ((name, image, label), (predicted, confidence)) in enumerate(zip(known, made))
    ]


def wrong_first(decisions: Sequence[Explained]) -> List[Explained]:
    """Wrong decisions, then those of unknown outcome, then right ones.

    Of the wrong ones the surest comes first, since it misleads most; of the others the least sure.
    """

    def place(decision: Explained) -> tuple:
        if decision.right is False:
            return 0, -decision.confidence
        return 1 + int(decision.right is True), decision.confidence

    return sorted(decisions, key=place)


def percent(share: float) -> str:
    """A share in percent, to a tenth."""
    return f"{100 * share:.1f} %"
