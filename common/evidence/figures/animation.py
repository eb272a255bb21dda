"""Animated GIFs whose frames keep their colours."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from common.core.files import save_atomically
from common.evidence.figures.figure import Picture, pixels

MILLISECONDS = 400  # a frame
COLORS, EXACT = 256, 64  # of a palette, and how many of them a frame's most frequent ones are
LAST_MILLISECONDS = 2500  # the last one stays, before all starts over


def save_gif(
    path: Path,
    frames: Sequence[Picture],
    milliseconds: int = MILLISECONDS,
    last_milliseconds: int = LAST_MILLISECONDS,
) -> None:
    """Writes an endless GIF, whole or not at all; each frame has a palette of its own colours.

    Args:
        frames: figures or arrays uint8 (height, width, 3) of one size, at least one.
    """
    images = [_with_palette(pixels(frame)) for frame in frames]
    durations = [milliseconds] * (len(images) - 1) + [last_milliseconds]
    save_atomically(
        Path(path),
        lambda stream: images[0].save(
            stream,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            loop=0,
            duration=durations,
            disposal=1,
            optimize=False,
        ),
    )


def _with_palette(frame: np.ndarray) -> Image.Image:
    """A frame in 256 colours: its most frequent ones exactly, the rest by the nearest chosen."""
    colors, places, counts = np.unique(
        frame.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    chosen = colors[np.argsort(-counts, kind="stable")[:COLORS]]
    if len(colors) > COLORS:
        cut = Image.fromarray(np.ascontiguousarray(frame)).quantize(
            COLORS - EXACT, method=Image.Quantize.MEDIANCUT
        )
        rest = np.array((cut.getpalette() or [])[: 3 * (COLORS - EXACT)], np.uint8).reshape(-1, 3)
        chosen = np.concatenate([chosen[:EXACT], rest])
    nearest = cKDTree(chosen.astype(np.float64)).query(colors.astype(np.float64))[1]
    numbers = nearest[places.reshape(-1)].reshape(frame.shape[:2])
    image = Image.fromarray(numbers.astype(np.uint8), mode="P")
    image.putpalette(np.ascontiguousarray(chosen).tobytes())
    return image
