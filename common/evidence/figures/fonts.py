"""Texts that can always be drawn: whatever a class, file or device is called, nothing fails."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import FrozenSet, Optional, Tuple

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

# Fonts with many letters, by their file names, the preferred ones first.
WIDE_FONTS = ("notosanscjk", "sourcehan", "wqy", "simhei", "msyh", "pingfang", "droidsansfallback")
UNKNOWN = "?"


def settle_texts(figure: Figure) -> None:
    """Makes every text of a figure drawable: its font has the letters, `$` stays a dollar sign.

    Called before a figure is drawn; labels given to a fixed tick formatter pass `drawable` first.
    """
    for text in figure.findobj(Text):
        shown, font = drawable(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)
        if font is not None:
            properties = text.get_fontproperties().copy()
            properties.set_file(font)
            text.set_fontproperties(properties)


def drawable(text: str) -> Tuple[str, Optional[str]]:
    """A text with what no installed font has as `?`, and the file of its font; None for DejaVu."""
    needed = frozenset(ord(letter) for letter in text) - {ord("\n")}
    font = _best_font(needed)
    known = _letters(font or _dejavu())
    shown = "".join(
        letter if letter == "\n" or ord(letter) in known else UNKNOWN for letter in text
    )
    return re.sub(r"(?<!\\)\$", r"\\$", shown), font


@lru_cache(maxsize=1024)
def _best_font(needed: FrozenSet[int]) -> Optional[str]:
    """The first font with most of the letters; None for DejaVu, which comes with matplotlib."""
    best, least = None, len(needed - _letters(_dejavu()))
    for path in _installed() if least else ():
        missing = len(needed - _letters(path))
        if missing < least:
            best, least = path, missing
        if not least:
            break
    return best


def _dejavu() -> str:
    return str(font_manager.findfont("DejaVu Sans"))


@lru_cache(maxsize=1)
def _installed() -> Tuple[str, ...]:
    """The files of all fonts, those with many letters first; looked for anew in each process."""

    def order(path: str) -> Tuple[int, bool, str]:
        name = Path(path).name.lower().replace("-", "").replace("_", "")
        wide = [number for number, start in enumerate(WIDE_FONTS) if name.startswith(start)]
        return (wide[0] if wide else len(WIDE_FONTS), "bold" in name or "italic" in name, path)

    return tuple(sorted(font_manager.findSystemFonts(), key=order))


@lru_cache(maxsize=None)
def _letters(path: str) -> FrozenSet[int]:
    """The code points a font has; none where it can't be read."""
    try:
        return frozenset(code for code in FT2Font(path).get_charmap() if code >= ord(" "))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
