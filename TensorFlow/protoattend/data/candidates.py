"""The candidates that an evaluation draws its prototypes from."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np

from common.core.errors import UsageError
from protoattend.data.labelled_images import LabelledImages

_NAMED = 5


def candidate_database(
    split: LabelledImages, count: int, seed: int = 0, shuffle: bool = True
) -> LabelledImages:
    """`count` images of a split: a seeded choice without replacement, in the order of the data.

    Args:
        split: normally the training images.
        count: from 1 to len(split).
        seed: 0 to 2**32 - 1.
        shuffle: the first `count` images when False, as the reference.

    Raises:
        UsageError: fewer images than asked for.
    """
    if not 1 <= count <= len(split):
        raise UsageError(
            f"{count} candidates asked for, there are {len(split)} images to choose from: "
            "give 1 to "
            f"{len(split)}"
        )
    order = np.arange(len(split))
    if shuffle:
        order = np.random.RandomState(seed).permutation(len(split))
    return split.take(np.sort(order[:count]))


def missing_classes_warning(
    candidate_labels: np.ndarray, class_names: Sequence[str]
) -> Optional[str]:
    """A line that names the classes without any candidate, or None."""
    present = np.bincount(candidate_labels, minlength=len(class_names)) > 0
    missing = [name for name, is_there in zip(class_names, present) if not is_there]
    if not missing:
        return None
    named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
    return (
        f"{len(missing)} of {len(class_names)} classes are missing among the "
        f"{len(candidate_labels)} candidates ({named}): no prototype can speak "
        "for them; give more candidates"
    )
