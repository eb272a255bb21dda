"""Where a place in the scene is seen in the image, by CLEVR's camera."""

from __future__ import annotations

import numpy as np

# Fitted (direct linear transform) to 71 objects of ten images by CLEVR's own generator. The
# generator moves the camera a little in every image, which the records don't tell: the fit is off
# by 0.6 % of the image's width and height on average, and by at most 3.3 %.
CLEVR_CAMERA = np.array(
    [
        [0.03604, 0.09993, -0.02812, 0.50234],
        [0.01762, -0.01376, -0.13429, 0.49798],
        [-0.05567, 0.05487, -0.04892, 1.0],
    ]
)


def seen_at(places: np.ndarray, camera: np.ndarray = CLEVR_CAMERA) -> np.ndarray:
    """Projects places to fractions of the image's width and height, from its upper left corner.

    Args:
        places: (..., 3), coordinates in the scene, from -3 to 3.
        camera: (3, 4), homogeneous coordinates in the scene to those in the image.

    Returns:
        (..., 2): x to the right, y downwards; in 0 to 1 inside the image.
    """
    image = np.matmul(places, camera[:, :3].T) + camera[:, 3]
    return image[..., :2] / image[..., 2:]
