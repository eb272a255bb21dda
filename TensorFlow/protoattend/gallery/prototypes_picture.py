"""Decisions as a picture: each input with its decision, then the prototypes behind it."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from common.evidence.figures.canvas import (
    GAP,
    HAIRLINE,
    INK,
    MARGIN,
    PALETTE,
    PAPER,
    Color,
    blank,
    drawing,
    letters,
    text_size,
    wrapped,
)
from protoattend.gallery.explained import Explained, Prototype
from protoattend.gallery.texts import outcome, percent
from protoattend.gallery.tiles import tile

RIGHT: Color = (36, 138, 61)
WRONG: Color = (207, 46, 46)
UNKNOWN: Color = (128, 128, 128)
QUIET: Color = (112, 112, 112)  # what is said beside
AGREES, DIFFERS = PALETTE[0], PALETTE[1]  # a prototype's label and the decision
MOST = 8  # prototypes in a row
BORDER = 4  # around the input
SPACE = 10  # between prototypes
BAR = 5  # height of a bar
LEAST_TEXT = 104  # width of the text beside the input
LARGE, SMALL = 15, 12  # sizes of letters
LEAST_REST = 0.005  # a smaller rest of the weight is not mentioned


class _Layout(NamedTuple):
    """Where things lie, in pixels from the left and from the top of a row."""

    side: Tuple[int, int]  # a tile's width and height
    text: int
    text_width: int
    prototypes: int
    caption: int
    row: int

    def left_of(self, number: int) -> int:
        return self.prototypes + number * (self.side[0] + SPACE)


def prototypes_picture(decisions: Sequence[Explained], most: int = MOST) -> np.ndarray:
    """Draws a row per decision; returns uint8 (height, width, 3).

    The border of an input is green where the decision is right, red where it is wrong, grey where
    the label is not known. A prototype has its weight as a bar, blue where its label is the
    decision and orange where it is another.

    Args:
        decisions: at least one; all images have one size.
        most: of a decision's prototypes, the heaviest so many are drawn.

    Raises:
        ZooError: there is no decision.
    """
    if not decisions:
        raise ZooError("no decision to draw; give at least one image")
    shown = [decision.prototypes[:most] for decision in decisions]
    layout = _layout(decisions, shown)
    head = MARGIN + text_size("0", letters(SMALL))[1] + GAP
    width = layout.left_of(max(max(map(len, shown)), 2)) - SPACE + MARGIN
    width += text_size("others 100 %", letters(SMALL))[0] + SPACE
    foot = 2 * GAP + text_size("0", letters(SMALL))[1] + MARGIN
    image, pen = drawing(blank(head + len(decisions) * layout.row + foot, width))
    _write_heads(pen, layout)
    for number, (decision, prototypes) in enumerate(zip(decisions, shown)):
        top = head + number * layout.row
        pen.line([MARGIN, top, width - MARGIN, top], fill=HAIRLINE)
        _draw_row(image, pen, layout, top + SPACE, decision, prototypes)
    _write_legend(pen, layout, head + len(decisions) * layout.row, width)
    return np.asarray(image)


def _layout(decisions: Sequence[Explained], shown: Sequence[Sequence[Prototype]]) -> _Layout:
    height, width = tile(decisions[0].image).shape[:2]
    words = [
        (text, letters(size)) for decision in decisions for text, size in _decision_words(decision)
    ]
    text_width = max([LEAST_TEXT] + [text_size(text, font)[0] for text, font in words])
    text = MARGIN + width + 2 * BORDER + SPACE
    captions = [
        text_size(_caption(prototype, width), letters(SMALL))[1]
        for prototypes in shown
        for prototype in prototypes
    ]
    caption = height + 2 * BORDER + BAR + GAP
    row = SPACE + caption + max(captions, default=0) + SPACE
    return _Layout((width, height), text, text_width, text + text_width + 2 * SPACE, caption, row)


def _decision_words(decision: Explained) -> List[Tuple[str, int]]:
    """What is written beside the input, each line with the size of its letters."""
    return [
        (decision.predicted, LARGE),
        (outcome(decision), SMALL),
        (f"confidence {percent(decision.confidence)}", SMALL),
    ]


def _caption(prototype: Prototype, width: int) -> str:
    """Weight, and below it the label in as many lines as the tile's width asks for."""
    return f"{percent(prototype.weight)}\n{wrapped(prototype.label, width, letters(SMALL))}"


def _write_heads(pen: Any, layout: _Layout) -> None:
    for x, text in (
        (MARGIN, "input"),
        (layout.text, "decision"),
        (layout.prototypes, "prototypes and their weight in the decision"),
    ):
        pen.text((x, MARGIN), text, fill=QUIET, font=letters(SMALL))


def _draw_row(
    image: Any,
    pen: Any,
    layout: _Layout,
    top: int,
    decision: Explained,
    prototypes: Sequence[Prototype],
) -> None:
    color = {True: RIGHT, False: WRONG, None: UNKNOWN}[decision.right]
    width, height = layout.side
    pen.rectangle(
        [MARGIN, top, MARGIN + width + 2 * BORDER - 1, top + height + 2 * BORDER - 1], fill=color
    )
    _paste(image, decision.image, MARGIN + BORDER, top + BORDER)
    _write_decision(pen, layout, top, decision, color)
    for number, prototype in enumerate(prototypes):
        _draw_prototype(
            image,
            pen,
            layout,
            (layout.left_of(number), top),
            prototype,
            AGREES if prototype.label == decision.predicted else DIFFERS,
        )
    rest = decision.rest + sum(left.weight for left in decision.prototypes[len(prototypes) :])
    if rest >= LEAST_REST:
        pen.text(
            (layout.left_of(len(prototypes)), top + layout.caption),
            f"others {percent(rest)}",
            fill=QUIET,
            font=letters(SMALL),
        )


def _paste(image: Any, pixels: np.ndarray, x: int, y: int) -> None:
    image.paste(drawing(tile(pixels))[0], (x, y))


def _write_decision(pen: Any, layout: _Layout, top: int, decision: Explained, color: Color) -> None:
    y = top + BORDER
    for number, (text, size) in enumerate(_decision_words(decision)):
        font = letters(size)
        pen.text((layout.text, y), text, fill=color if number == 1 else INK, font=font)
        y += text_size(text, font)[1] + GAP
    _draw_bar(pen, layout.text, y, layout.text_width, decision.confidence, color)


def _draw_bar(pen: Any, x: int, y: int, width: int, share: float, color: Color) -> None:
    """A grey bar whose left part, the share, is coloured; the least share is seen."""
    pen.rectangle([x, y, x + width - 1, y + BAR - 1], fill=HAIRLINE)
    if share > 0:
        filled = max(int(round(width * min(share, 1))), 2)
        pen.rectangle([x, y, x + filled - 1, y + BAR - 1], fill=color)


def _draw_prototype(
    image: Any,
    pen: Any,
    layout: _Layout,
    place: Tuple[int, int],
    prototype: Prototype,
    color: Color,
) -> None:
    (x, y), (width, height) = place, layout.side
    pen.rectangle([x - 1, y + BORDER - 1, x + width, y + BORDER + height], outline=HAIRLINE)
    _paste(image, prototype.image, x, y + BORDER)
    _draw_bar(pen, x, y + height + 2 * BORDER, width, prototype.weight, color)
    pen.multiline_text(
        (x, y + layout.caption),
        _caption(prototype, width),
        fill=INK,
        font=letters(SMALL),
        spacing=2,
    )


def _write_legend(pen: Any, layout: _Layout, top: int, width: int) -> None:
    pen.line([MARGIN, top, width - MARGIN, top], fill=HAIRLINE)
    font, x = letters(SMALL), MARGIN
    y = top + 2 * GAP
    for color, text in (
        (RIGHT, "right"),
        (WRONG, "wrong"),
        (UNKNOWN, "label not known"),
        (AGREES, "of the class decided for"),
        (DIFFERS, "of another class"),
    ):
        x = max(x, layout.prototypes) if color == AGREES else x
        pen.rectangle([x, y + 2, x + SMALL - 3, y + SMALL - 1], fill=color, outline=PAPER)
        pen.text((x + SMALL + 2, y), text, fill=INK, font=font)
        x += SMALL + 2 + text_size(text, font)[0] + 2 * SPACE
