"""Properties of CLEVR's objects as the target vectors of set prediction; numpy only.

Source: google-research slot_attention/data.py, preprocess_clevr and the paper's section 4.2.
"""

from __future__ import annotations

import numpy as np

TARGET_COUNT = 10
TARGET_WIDTH = 19
# Names in the order of the numbers, as tensorflow-datasets has them.
SIZES = ("small", "large")
MATERIALS = ("rubber", "metal")
SHAPES = ("cube", "sphere", "cylinder")
COLORS = ("gray", "blue", "brown", "yellow", "red", "green", "purple", "cyan")


def encode_targets(
    coordinates: np.ndarray,
    size: np.ndarray,
    material: np.ndarray,
    shape: np.ndarray,
    color: np.ndarray,
) -> np.ndarray:
    """Returns the float32 (10, 19) target of a scene; rows beyond its objects are zero.

    A row is coordinates 3 (from [-3, 3] to [0, 1]), size 2, material 2, shape 3, colour 8 (one-hot
    each) and real 1.

    Args:
        coordinates: float32, (objects, 3); at most 10 objects.
        size, material, shape, color: int64, (objects,), places in SIZES, MATERIALS, …
    """
    count = len(size)
    if count > TARGET_COUNT:
        raise ValueError(f"{count} objects in a scene, {TARGET_COUNT} at most")
    rows = np.zeros((TARGET_COUNT, TARGET_WIDTH), np.float32)
    if not count:
        return rows
    places = np.asarray(coordinates, np.float32).reshape(count, 3)
    rows[:count, :3] = (places + np.float32(3)) / np.float32(6)
    first = 3
    for values, names in ((size, SIZES), (material, MATERIALS), (shape, SHAPES), (color, COLORS)):
        rows[np.arange(count), first + np.asarray(values, np.int64)] = 1
        first += len(names)
    rows[:count, -1] = 1
    return rows
