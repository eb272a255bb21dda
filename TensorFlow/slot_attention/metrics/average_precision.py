"""Average precision of set prediction on CLEVR, as the reference measures it, without its loops.

Predictions and targets are (images, objects, 19), see data/scenes; the last value is the
confidence, or 1 for a real target.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

from slot_attention.data.scenes import COLUMNS, COORDINATES, REAL, SCENE_SIZE

THRESHOLDS = (float("inf"), 1.0, 0.5, 0.25, 0.125)  # the paper's, in units of the scene
NO_THRESHOLD = -1.0  # how the reference writes infinity


def average_precision(
    predictions: np.ndarray, targets: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """The average precision at every distance threshold, float64; nan without any real object.

    The rule of the reference (google-research slot_attention/utils.py, average_precision_clevr):
    all images' predictions are taken by falling confidence. Each belongs to the nearest of its
    image's real objects whose four attributes equal its own (the largest of each group). It is
    right if that object is nearer than the threshold (strictly) and no earlier right prediction
    has it; no second-nearest object is tried. The result is the area under precision, made
    monotonic, over recall. Of equal confidences the earlier image and then the earlier slot comes
    first; the reference leaves that order open.

    Args:
        predictions: (images, predicted objects, 19).
        targets: (images, objects, 19); the numbers of objects may differ.
        thresholds: distances; infinity or -1 asks for equal attributes only.
    """
    order = np.argsort(-predictions[..., REAL].ravel(), kind="stable")
    nearest, distance = nearest_equal_objects(predictions, targets)
    image = np.arange(len(predictions))[:, None]
    found_object = np.where(nearest >= 0, image * targets.shape[1] + nearest, -1)
    found_object, distance = found_object.ravel()[order], distance.ravel()[order]
    real = targets[..., REAL].sum(dtype=np.float64)
    if not real:
        return np.full(len(thresholds), np.nan)
    precisions = []
    for threshold in thresholds:
        near = (distance < threshold) | (threshold in (NO_THRESHOLD, np.inf))
        precisions.append(_area(_first_finds(np.where(near, found_object, -1)), real))
    return np.array(precisions)


def nearest_equal_objects(
    predictions: np.ndarray, targets: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Finds each prediction's nearest real object with the same four attributes.

    Returns:
        The objects' numbers in their image, -1 where none is equal, and their distances in units
        of the scene, infinity where none is equal; both (images, predicted objects).
    """
    equal = _attributes(predictions)[:, :, None] == _attributes(targets)[:, None, :]
    equal &= (targets[..., REAL] != 0)[:, None, :]
    difference = targets[:, None, :, COORDINATES] - predictions[:, :, None, COORDINATES]
    distance = np.sqrt(((difference * SCENE_SIZE) ** 2).sum(axis=-1))
    distance = np.where(equal, distance, np.inf)
    number = distance.argmin(axis=2)
    nearest = np.take_along_axis(distance, number[:, :, None], axis=2)[:, :, 0]
    return np.where(equal.any(axis=2), number, -1), nearest


def _attributes(objects: np.ndarray) -> np.ndarray:
    """One number per object that tells its size, material, shape and colour: (images, objects)."""
    groups = [objects[..., columns] for columns in COLUMNS.values()]
    largest = [group.argmax(axis=-1) for group in groups]
    return np.ravel_multi_index(largest, [group.shape[-1] for group in groups])


def _first_finds(found_object: np.ndarray) -> np.ndarray:
    """Marks the first prediction of each object; -1 stands for no object."""
    objects, first = np.unique(found_object, return_index=True)
    right = np.zeros(len(found_object), bool)
    right[first[objects >= 0]] = True
    return right


def _area(right: np.ndarray, real: float) -> float:
    """The area under the monotonic precision over recall, of predictions by falling confidence."""
    finds = np.cumsum(right)
    # The reference rounds both to float32 before it integrates.
    recall = (finds / real).astype(np.float32).astype(np.float64)
    precision = (finds / np.arange(1, len(right) + 1)).astype(np.float32).astype(np.float64)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here @ np.diff(recall, prepend=0.0))
