"""PNG and JPEG files as arrays, whatever their mode and size."""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from common.core.text import listed

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif")
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_MODES = ("1", "L", "LA")


def images_below(folder: Path, tell: Callable[[str], None] = lambda line: None) -> List[Path]:
    """The PNG and JPEG files at any depth, sorted in each folder; hidden ones are left out.

    Args:
        tell: is told in one line how many files of other kinds there are, where there are any.

    Raises:
        OSError: a folder that can't be read.
    """
    found: List[Path] = []
    others: Counter[str] = Counter()
    for place, folders, names in os.walk(str(folder), onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = [name for name in sorted(names) if not name.startswith(".")]
        found.extend(Path(place) / name for name in shown if name.lower().endswith(SUFFIXES))
        others.update(
            Path(name).suffix.lower() or "without suffix"
            for name in shown
            if not name.lower().endswith(SUFFIXES)
        )
    if others:
        kinds = listed(f"{count} {kind}" for kind, count in others.most_common())
        tell(f"{folder}: files of other kinds than PNG and JPEG are left out: {kinds}")
    return found


def _raise(error: OSError) -> None:
    raise error


def decode_image(
    content: bytes,
    source: str,
    size: Optional[Tuple[int, int]] = None,
    channels: Optional[int] = None,
) -> np.ndarray:
    """An encoded PNG or JPEG as uint8, (height, width, channels).

    Args:
        content: the whole file.
        source: its name for the error line.
        size: (height, width): resized (bilinear) to cover it, then the centre is cut out;
            the image's own when None.
        channels: 1 for grey (ITU-R 601), 3 for RGB; the image's own when None.

    Raises:
        ZooError: not a whole PNG or JPEG, or Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ZooError(
            f"image files need Pillow, which can't be imported ({error}): pip install Pillow"
        ) from None
    failures = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
            return _as_array(_eight_bits(opened), size, channels)
    except failures as error:
        reason = " ".join(str(error).split())
        raise ZooError(
            f"{source}: not a readable PNG or JPEG ({reason}): replace or remove it"
        ) from None


def _eight_bits(image: Any) -> Any:
    """16-bit grey as 8-bit grey; Pillow's own conversion would clip it at 255."""
    if image.mode not in SIXTEEN_BIT_MODES:
        return image
    from PIL import Image

    values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _as_array(image: Any, size: Optional[Tuple[int, int]], channels: Optional[int]) -> np.ndarray:
    if channels is None:
        channels = 1 if image.mode in _GREY_MODES else 3
    converted = image.convert("L" if channels == 1 else "RGB")
    pixels: np.ndarray = np.asarray(
        converted if size is None else _covering_centre(converted, size)
    )
    return pixels.reshape(pixels.shape[:2] + (channels,))


def _covering_centre(image: Any, size: Tuple[int, int]) -> Any:
    """The centre of the image made just as large as covers (height, width)."""
    from PIL import Image

    height, width = size
    scale = max(width / image.size[0], height / image.size[1])
    covering = (max(width, round(image.size[0] * scale)), max(height, round(image.size[1] * scale)))
    left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
    filters: Any = getattr(Image, "Resampling", Image)  # where Pillow before 9.1 has them
    resized = image.resize(covering, filters.BILINEAR)
    return resized.crop((left, top, left + width, top + height))
