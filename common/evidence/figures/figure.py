"""Figures of matplotlib that live alone, and their way into arrays, PNG files and animations."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Sequence, Tuple, Union

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from common.core.errors import ZooError
from common.core.files import save_atomically
from common.evidence.figures.colors import PAPER, web_color
from common.evidence.figures.fonts import settle_texts

DPI = 100
MILLISECONDS, LAST_MILLISECONDS = 400, 2500  # a frame of an animation; the last, before it restarts

Picture = Union[Figure, np.ndarray]


def new_figure(width: int, height: int) -> Figure:
    """An empty figure of a size in pixels, laid out so that titles and legends have room."""
    figure = Figure(
        figsize=(width / DPI, height / DPI),
        dpi=DPI,
        facecolor=web_color(PAPER),
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    return figure


def pixel_figure(sheet: np.ndarray) -> Tuple[Figure, Any]:
    """A figure that shows an array pixel by pixel, and its axes, to draw and write on.

    Args:
        sheet: uint8 (height, width, 3).

    Returns:
        The figure, of the array's size, and axes that cover it: x to the right and y downwards in
        pixels, (0, 0) the upper left corner.
    """
    height, width = sheet.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(sheet, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure, axes


def pixels(picture: Picture) -> np.ndarray:
    """A figure as it is drawn, uint8 (height, width, 3); an array is given back as it is."""
    if isinstance(picture, np.ndarray):
        return picture
    settle_texts(picture)
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    return np.array(np.asarray(canvas.buffer_rgba())[..., :3])


def png_bytes(picture: Picture) -> bytes:
    """A figure, or an array uint8 (height, width[, 3]), as the content of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels(picture))).save(stream, format="PNG")
    return stream.getvalue()


def save_png(path: Path, picture: Picture) -> None:
    """Writes a figure or an array as a PNG file, whole or not at all."""
    content = png_bytes(picture)
    save_atomically(Path(path), lambda stream: stream.write(content))


def save_gif(path: Path, frames: Sequence[Picture]) -> None:
    """Writes an endless GIF, whole or not at all; each frame has a palette of its own colours.

    Args:
        frames: figures or arrays uint8 (height, width, 3) of one size, at least one.
    """
    first, *others = [
        Image.fromarray(np.ascontiguousarray(pixels(frame))).quantize(
            256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
        for frame in frames
    ]
    durations = [MILLISECONDS] * len(others) + [LAST_MILLISECONDS]
    options = {"loop": 0, "duration": durations, "disposal": 1, "optimize": False}
    save_atomically(
        Path(path),
        lambda stream: first.save(stream, "GIF", save_all=True, append_images=others, **options),
    )


def read_png(path: Path) -> np.ndarray:
    """Reads a picture: uint8 (height, width, 3).

    Raises:
        ZooError: the file is missing or no picture.
    """
    try:
        with Image.open(str(path)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ZooError(f"{path} can't be read as a picture: {error}") from error
