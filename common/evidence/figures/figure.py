"""Figures of matplotlib that live alone, and their way into arrays, PNG files and animations.

Whatever a class, file or device is called, its text can be drawn: DejaVu, an installed font, or ?.
"""

from __future__ import annotations

import io
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, FrozenSet, List, Sequence, Tuple, Union

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from PIL import Image

from common.core.errors import ZooError
from common.core.files import save_atomically
from common.evidence.figures.colors import PAPER, web_color

DPI = 100
MILLISECONDS, LAST_MILLISECONDS = 400, 2500  # a frame of an animation; the last, before it restarts
# Fonts with many letters, by their file names, the preferred ones first.
WIDE_FONTS = ("notosanscjk", "sourcehan", "wqy", "simhei", "msyh", "pingfang", "droidsansfallback")
UNKNOWN = "?"

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


# --- texts that can always be drawn ---


def settle_texts(figure: Figure) -> None:
    """Makes every text of a figure drawable, before it is drawn; `$` stays a dollar sign."""
    for text in figure.findobj(Text):
        shown, font = drawable(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)
        if font != _dejavu():
            properties = text.get_fontproperties().copy()
            properties.set_file(font)
            text.set_fontproperties(properties)


@lru_cache(maxsize=1024)
def drawable(text: str) -> Tuple[str, str]:
    """A text with what no installed font has as `?`, and the file of the font with most of it."""
    needed = frozenset(map(ord, text)) - {ord("\n")}
    fonts = [_dejavu()]
    if needed - _letters(_dejavu()):
        fonts += _installed()
    font = next((path for path in fonts if needed <= _letters(path)), "") or min(
        fonts, key=lambda path: len(needed - _letters(path))
    )
    unknown = dict.fromkeys(needed - _letters(font), UNKNOWN)
    return re.sub(r"(?<!\\)\$", r"\\$", text.translate(unknown)), font


def _dejavu() -> str:
    return str(font_manager.findfont("DejaVu Sans"))


@lru_cache(maxsize=1)
def _installed() -> List[str]:
    """The files of all fonts, those with many letters first; looked for anew in each process."""

    def order(path: str) -> Tuple[int, bool, str]:
        name = Path(path).name.lower().replace("-", "").replace("_", "")
        wide = [number for number, start in enumerate(WIDE_FONTS) if name.startswith(start)]
        return (wide[0] if wide else len(WIDE_FONTS), "bold" in name or "italic" in name, path)

    return sorted(font_manager.findSystemFonts(), key=order)


@lru_cache(maxsize=None)
def _letters(path: str) -> FrozenSet[int]:
    """The code points a font has; none where it can't be read."""
    try:
        return frozenset(code for code in FT2Font(path).get_charmap() if code >= ord(" "))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
