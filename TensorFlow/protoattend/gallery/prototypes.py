"""Decisions as figures: each input with its decision, then the prototypes behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Sequence

import numpy as np

from common.core.errors import ZooError
from common.evidence.figures.colors import HAIRLINE, PALETTE, PAPER
from common.evidence.figures.sheet import GAP, SIDE, Tile, fitted, sheet, wrapped
from protoattend.gallery.explained import LEAST_REST, Explained, Prototype, outcome, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BORDERS = {True: (36, 138, 61), False: (207, 46, 46), None: (128, 128, 128)}
AGREES, DIFFERS = PALETTE[0], PALETTE[1]  # a prototype's label and the decision
MOST = 8  # prototypes in a row
ROWS = 12  # decisions in a figure
BAR = 6  # pixels: height of a bar
TEXT_WIDTH = 180  # pixels beside the input
LONGEST_NAME = 60
TITLE = (
    "{} to {} of {} decisions. Bars: weight in the decision; blue: prototype of the class decided "
    "for; orange, striped: of another class."
)


def pages(decisions: Sequence[Explained]) -> List[Sequence[Explained]]:
    """So many decisions as a figure shows, in their order.

    Raises:
        ZooError: there is no decision.
    """
    if not decisions:
        raise ZooError("no decision to draw; give at least one image")
    return [decisions[first : first + ROWS] for first in range(0, len(decisions), ROWS)]


def prototypes_figure(page: Sequence[Explained], first: int = 0, whole: int = 0) -> Figure:
    """Draws a row per decision, beside its words in which it also stands whether it is right.

    Args:
        page: at least one decision; all images have one size.
        first: the place (from 0) of the first one among all. whole: how many there are in all.
    """
    rows = [
        [Tile(beside_bar(decision.image), border=BORDERS[decision.right])]
        + [prototype_tile(one, decision.predicted) for one in decision.prototypes[:MOST]]
        for decision in page
    ]
    title = TITLE.format(first + 1, first + len(page), whole or len(page))
    return sheet(rows, row_titles=[words(one) for one in page], title=title, side=SIDE)


def words(decision: Explained) -> str:
    """What stands beside an input: its name, the decision and whether it is right."""
    lines = [
        shortened(decision.name),
        f"decision: {shortened(decision.predicted)}",
        shortened(outcome(decision)),
        f"confidence {percent(decision.confidence)}",
    ]
    rest = decision.rest + sum(left.weight for left in decision.prototypes[MOST:])
    if rest >= LEAST_REST:
        lines.append(f"not shown: {percent(min(rest, 1.0))}")
    return wrapped("\n".join(lines), TEXT_WIDTH)


def shortened(text: str) -> str:
    """A text without its beginning where it is long: of a path the end tells more."""
    return text if len(text) <= LONGEST_NAME else "…" + text[1 - LONGEST_NAME :]


def prototype_tile(prototype: Prototype, predicted: str) -> Tile:
    """A prototype over a bar of its weight, with weight, label and origin below."""
    image = beside_bar(prototype.image)
    agrees = prototype.label == predicted
    bar = weight_bar(prototype.weight, image.shape[1], agrees)
    paper = np.full((GAP,) + image.shape[1:], PAPER, np.uint8)
    caption = [percent(prototype.weight), shortened(prototype.label), shortened(prototype.source)]
    return Tile(np.concatenate([image, paper, bar]), "\n".join(caption))


def beside_bar(image: np.ndarray) -> np.ndarray:
    """An image as large as leaves room for a bar below it."""
    return fitted(image, SIDE - BAR - GAP)


def weight_bar(share: float, width: int, agrees: bool) -> np.ndarray:
    """A grey bar, uint8 (BAR, width, 3), whose left part, the share, is coloured; any is seen."""
    bar = np.full((BAR, width, 3), HAIRLINE, np.uint8)
    filled = max(int(round(width * min(share, 1))), 2) if share > 0 else 0
    bar[:, :filled] = AGREES if agrees else DIFFERS
    if not agrees:
        bar[:, 3:filled:4] = PAPER
    return bar
