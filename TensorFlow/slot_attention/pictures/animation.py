"""An animated GIF of how pictures change over training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from common.core.files import save_atomically
from common.evidence.figures.canvas import (
    GAP,
    HAIRLINE,
    INK,
    MARGIN,
    PALETTE,
    PAPER,
    blank,
    drawing,
    letters,
    read_png,
    text_size,
)

MILLISECONDS = 400  # per frame
LAST_MILLISECONDS = 2500  # the last one stays, before all starts over
COLORS = 256
NEARLY_WHITE = 248
BAR = 4  # height of the line that shows how far the training is


def picture_name(name: str, step: int) -> str:
    """The file name of a picture of one training step; sorted by name they are sorted by step."""
    return f"{name}_{step:08d}.png"


def pictures_of_training(folder: Path, name: str) -> List[Tuple[int, Path]]:
    """Finds the pictures that picture_name named, as (step, path) by step."""
    pattern = re.compile(re.escape(name) + r"_(\d{8,})\.png")
    found = [(pattern.fullmatch(path.name), path) for path in Path(folder).glob("*.png")]
    return sorted((int(match.group(1)), path) for match, path in found if match)


def save_animation(path: Path, pictures: Sequence[Tuple[int, Path]]) -> int:
    """Writes an endless GIF of pictures of growing steps, each with its step below.

    Pictures of another size than the last one, from a run with other settings, are left out. All
    frames share the colours of the last one, so that nothing flickers.

    Args:
        pictures: (step, PNG file), at least one, as pictures_of_training gives them.

    Returns:
        The number of frames.

    Raises:
        ZooError: no picture, or one that can't be read.
    """
    if not pictures:
        raise ZooError(f"no pictures of training steps for {path}; train with pictures first")
    read = [(step, read_png(picture)) for step, picture in pictures]
    last_step, last = read[-1]
    frames = [
        labelled(picture, step, last_step) for step, picture in read if picture.shape == last.shape
    ]
    _write(path, _with_shared_colors(frames))
    return len(frames)


def labelled(picture: np.ndarray, step: int, last_step: int) -> np.ndarray:
    """Adds the step below a picture, with a bar as long as its share of the last step."""
    font = letters()
    high = text_size("0", font)[1]
    height, width = picture.shape[:2]
    sheet = blank(height + BAR + GAP + high + MARGIN, width)
    sheet[:height] = picture
    inside = width - 2 * MARGIN
    sheet[height : height + BAR, MARGIN : MARGIN + inside] = HAIRLINE
    done = int(round(inside * step / max(last_step, 1)))
    sheet[height : height + BAR, MARGIN : MARGIN + done] = PALETTE[0]
    image, pen = drawing(sheet)
    pen.text((MARGIN, height + BAR + GAP), f"step {step:,}", fill=INK, font=font)
    return np.asarray(image)


def _with_shared_colors(frames: Sequence[np.ndarray]) -> List[Any]:
    from PIL import Image

    images = [drawing(frame)[0] for frame in frames]
    colors = images[-1].quantize(COLORS - 1, method=Image.Quantize.MEDIANCUT)
    # The cut averages colours, and paper would turn grey: what is nearly white is made white.
    chosen = np.array(colors.getpalette()[: 3 * (COLORS - 1)], np.uint8).reshape(-1, 3)
    chosen[(chosen >= NEARLY_WHITE).all(axis=1)] = PAPER
    unused = [PAPER] * (COLORS - len(chosen))
    colors.putpalette(np.concatenate([chosen, unused]).astype(np.uint8).tobytes())
    return [image.quantize(palette=colors, dither=Image.Dither.NONE) for image in images]


def _write(path: Path, frames: Sequence[Any]) -> None:
    durations = [MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    save_atomically(
        Path(path),
        lambda stream: frames[0].save(
            stream,
            format="GIF",
            save_all=True,
            append_images=list(frames[1:]),
            loop=0,
            duration=durations,
            disposal=1,
        ),
    )
