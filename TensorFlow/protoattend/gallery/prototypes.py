"""Decisions as pictures: each input with its decision, then the prototypes behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Dict, List, Sequence, Union

import numpy as np

from common.evidence.figures.colors import HAIRLINE, PALETTE, PAPER
from common.evidence.figures.figure import png_bytes
from common.evidence.figures.sheet import GAP, SIDE, Tile, fitted, sheet, wrapped
from protoattend.gallery.explained import LEAST_REST, Explained, Prototype, percent
from protoattend.gallery.page import GalleryHeader, gallery_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BORDERS = {True: (36, 138, 61), False: (207, 46, 46), None: (128, 128, 128)}
MOST = 8  # prototypes in a row
ROWS = 12  # decisions in a figure
MOST_PICTURES = 20
BAR = 6  # pixels: height of a bar
TEXT_WIDTH = 180  # pixels beside the input
LONGEST_NAME = 60
TITLE = (
    "{} to {} of {} decisions. Bars: weight in the decision; blue: prototype of the class decided "
    "for; orange, striped: of another class."
)


def explanation_files(
    decisions: Sequence[Explained], class_names: Sequence[str], header: GalleryHeader
) -> Dict[str, Callable[[], Union[str, bytes]]]:
    """What makes gallery.html, prototypes.png, and prototypes_2.png … where one is not enough.

    There are at most MOST_PICTURES pictures; the gallery has all decisions.
    """
    files: Dict[str, Callable[[], Union[str, bytes]]] = {
        "gallery.html": lambda: gallery_page(decisions, class_names, header)
    }
    for number in range(min(-(-len(decisions) // ROWS), MOST_PICTURES)):
        name = f"prototypes_{number + 1}.png" if number else "prototypes.png"
        files[name] = lambda first=number * ROWS: png_bytes(
            prototypes_figure(decisions[first : first + ROWS], first, len(decisions))
        )
    return files


def prototypes_figure(page: Sequence[Explained], first: int = 0, whole: int = 0) -> Figure:
    """Draws a row per decision, beside its words in which it also stands whether it is right.

    Args:
        page: at least one decision; all images have one size.
        first: the place (from 0) of the first one among all. whole: how many there are in all.
    """
    rows: List[List[Tile]] = [
        [Tile(_beside_bar(decision.image), border=BORDERS[decision.right])]
        + [_prototype_tile(one, decision.predicted) for one in decision.prototypes[:MOST]]
        for decision in page
    ]
    title = TITLE.format(first + 1, first + len(page), whole or len(page))
    return sheet(rows, row_titles=[_words(one) for one in page], title=title, side=SIDE)


def _words(decision: Explained) -> str:
    """What stands beside an input: its name, the decision and whether it is right."""
    words = [decision.name, f"decision: {decision.predicted}", decision.outcome]
    lines = [*map(_shortened, words), f"confidence {percent(decision.confidence)}"]
    rest = decision.rest(MOST)
    if rest >= LEAST_REST:
        lines.append(f"not shown: {percent(rest)}")
    return wrapped("\n".join(lines), TEXT_WIDTH)


def _shortened(text: str) -> str:
    """A text without its beginning where it is long: of a path the end tells more."""
    return text if len(text) <= LONGEST_NAME else "…" + text[1 - LONGEST_NAME :]


def _prototype_tile(prototype: Prototype, predicted: str) -> Tile:
    """A prototype over a bar of its weight, with weight, label and origin below."""
    image, agrees = _beside_bar(prototype.image), prototype.label == predicted
    width = image.shape[1]
    bar = np.full((BAR, width, 3), HAIRLINE, np.uint8)
    filled = max(int(round(width * min(prototype.weight, 1))), 2)  # any weight is seen
    bar[:, :filled] = PALETTE[0] if agrees else PALETTE[1]
    if not agrees:
        bar[:, 3:filled:4] = PAPER
    paper = np.full((GAP, width, 3), PAPER, np.uint8)
    caption = [percent(prototype.weight), prototype.label, prototype.source]
    caption[1:] = map(_shortened, caption[1:])
    return Tile(np.concatenate([image, paper, bar]), "\n".join(caption))


def _beside_bar(image: np.ndarray) -> np.ndarray:
    """An image as large as leaves room for a bar below it."""
    return fitted(image, SIDE - BAR - GAP)
