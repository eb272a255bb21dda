"""The colours of pictures and pages; imports nothing heavy."""

from __future__ import annotations

from typing import Tuple

Color = Tuple[int, int, int]  # red, green, blue from 0 to 255
PAPER: Color = (255, 255, 255)
INK: Color = (45, 45, 45)
HAIRLINE: Color = (222, 222, 222)
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


def palette_color(number: int) -> Color:
    """The colour of a slot or curve, the same in every picture; beyond the last they start over."""
    return PALETTE[number % len(PALETTE)]


def web_color(color: Color) -> str:
    """A colour as matplotlib and HTML read it: #4e79a7."""
    return "#{:02x}{:02x}{:02x}".format(*color)
