"""What a reader of a dataset hands over, before validation images are taken from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from protoattend.data.labelled_images import LabelledImages


@dataclass(frozen=True, eq=False)
class Source:
    """A whole dataset.

    Attributes:
        train: the images to train on; all images where there is no test set.
        test: None where the dataset has no test set of its own.
        class_names: one for every class, in the order of the labels.
        train_text: where the training images come from, in words.
        test_text: where the test images come from; "" without any.
        notices: what the user should be told, a line each.
    """

    train: LabelledImages
    test: Optional[LabelledImages]
    class_names: Tuple[str, ...]
    train_text: str
    test_text: str = ""
    notices: Tuple[str, ...] = ()


def numbered_names(count: int) -> Tuple[str, ...]:
    """The names of classes that have none: their numbers."""
    return tuple(str(number) for number in range(count))
