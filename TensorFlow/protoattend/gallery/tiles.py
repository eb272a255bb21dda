"""Images of a dataset as tiles of a picture or page."""

from __future__ import annotations

import numpy as np

from common.evidence.figures.canvas import LEAST_TILE, drawing, enlarged, whole_scale

RGB = 3


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image uint8 (H, W, 1 or 3) as (H, W, 3)."""
    return np.repeat(image, RGB, axis=2) if image.shape[2] == 1 else image


def tile(image: np.ndarray) -> np.ndarray:
    """An image uint8 (H, W, 1 or 3) as (h, w, 3), its longer side at most LEAST_TILE.

    Small images are enlarged by a whole factor, so that their pixels stay sharp; larger ones are
    reduced in their proportions.
    """
    from PIL import Image

    longer = max(image.shape[:2])
    if longer <= LEAST_TILE:
        return enlarged(as_rgb(image), whole_scale(longer))
    height, width = (max(1, round(side * LEAST_TILE / longer)) for side in image.shape[:2])
    picture, _ = drawing(as_rgb(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX))
