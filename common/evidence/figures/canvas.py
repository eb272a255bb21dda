"""What all pictures are made of: Pillow, letters, colours, sheets, PNG files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np

from common.core.errors import ZooError
from common.core.files import save_atomically

Color = Tuple[int, int, int]
PAPER: Color = (255, 255, 255)
INK: Color = (45, 45, 45)
HAIRLINE: Color = (222, 222, 222)  # around tiles, which may be white
# Far apart on white, also for most colour-blind readers.
PALETTE: Tuple[Color, ...] = (
    (78, 121, 167),
    (242, 142, 43),
    (225, 87, 89),
    (118, 183, 178),
    (89, 161, 79),
    (237, 201, 72),
    (176, 122, 161),
    (255, 157, 167),
    (156, 117, 95),
    (186, 176, 172),
    (31, 59, 115),
    (134, 188, 37),
)
TEXT_SIZE = 13
LINE_SPACING = 2
GAP = 6  # between tiles
MARGIN = 12
LEAST_TILE = 128  # smaller images are enlarged, by the whole factor that stays within this


def require_pillow() -> None:
    """Raises ZooError where Pillow is missing, before any work is done for a picture."""
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ZooError(
            "pictures need Pillow, which is not installed; run `pip install pillow` "
            "or install the extra data"
        ) from error


def palette_color(number: int) -> Color:
    """The colour of a slot or curve, the same in every picture; beyond the last they start over."""
    return PALETTE[number % len(PALETTE)]


def whole_scale(height: int) -> int:
    """The whole factor that brings an image of this height to at most LEAST_TILE."""
    return max(1, LEAST_TILE // height)


def enlarged(picture: np.ndarray, scale: int) -> np.ndarray:
    """Repeats every pixel: (height, width, 3) to (height * scale, width * scale, 3)."""
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def blank(height: int, width: int) -> np.ndarray:
    """An empty sheet, uint8 (height, width, 3)."""
    return np.full((height, width, 3), PAPER, np.uint8)


def drawing(picture: np.ndarray) -> Tuple[Any, Any]:
    """A Pillow image of an array, and a pen to draw on it."""
    require_pillow()
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.ascontiguousarray(picture))
    return image, ImageDraw.Draw(image)


def letters(size: int = TEXT_SIZE) -> Any:
    """Pillow's own font; Pillow before 10.1, or without FreeType, has it in one size only."""
    require_pillow()
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):
        return ImageFont.load_default()


def text_size(text: str, font: Any) -> Tuple[int, int]:
    """Width and height in pixels of a text, of one line or several; lines are equally high."""
    _, pen = drawing(blank(1, 1))
    right = pen.multiline_textbbox((0, 0), text, font=font, spacing=LINE_SPACING)[2]
    line = pen.textbbox((0, 0), "Ag", font=font)[3]
    lines = text.count("\n") + 1
    return int(np.ceil(right)), int(np.ceil(line * lines + LINE_SPACING * (lines - 1)))


def wrapped(text: str, width: int, font: Any) -> str:
    """Breaks a text between words so that its lines are at most width pixels, where words allow."""
    lines: List[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_size(longer, font)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def save_png(path: Path, picture: np.ndarray) -> None:
    """Writes a picture, uint8 (height, width, 3), as a PNG file, whole or not at all."""
    image, _ = drawing(picture)
    save_atomically(Path(path), lambda stream: image.save(stream, format="PNG"))


def png_bytes(picture: np.ndarray) -> bytes:
    """A picture as the content of a PNG file, for TensorBoard."""
    stream = io.BytesIO()
    drawing(picture)[0].save(stream, format="PNG")
    return stream.getvalue()


def read_png(path: Path) -> np.ndarray:
    """Reads a picture back: uint8 (height, width, 3).

    Raises:
        ZooError: the file is missing or no picture.
    """
    require_pillow()
    from PIL import Image

    try:
        with Image.open(str(path)) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise ZooError(f"{path} can't be read as a picture: {error}") from error
