"""Decisions as pictures and as a page: each input, the decision, the prototypes behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.figure import Figure

from common.evidence.figures.colors import HAIRLINE, PALETTE, PAPER
from common.evidence.figures.figure import png_bytes
from common.evidence.figures.sheet import GAP, SIDE, Tile, fitted, sheet, wrapped
from common.evidence.html_page.render import render
from protoattend.gallery.explained import (
    LEAST_REST,
    Explained,
    Prototype,
    percent,
    wrong_first,
)
from protoattend.metrics.measures import Summary
from protoattend.metrics.report import CandidateSet

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
ORDERS = (
    ("wrong", "wrong decisions first"),
    ("least", "least confident first"),
    ("most", "most confident first"),
    ("given", "as given"),
)


@dataclass(frozen=True)
class GalleryHeader:
    """What a gallery says of its origin.

    inputs: what was decided on, such as "test images of fashion_mnist". checkpoint_sha256: of the
    weights. date: when, in words for people. whole: of all decisions that those shown were chosen
    from; None where all are shown.
    """

    inputs: str
    candidates: CandidateSet
    checkpoint_sha256: str
    date: str
    whole: Optional[Summary] = None


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


# --- the page --------------------------------------------------------------------------------


def gallery_page(
    decisions: Sequence[Explained], class_names: Sequence[str], header: GalleryHeader
) -> str:
    """Writes the page: a table of decisions, at least one, wrong ones first, and what sorts it.

    Images are inside as PNG, nothing is loaded from elsewhere, and the page's own policy forbids
    it. Without the script the table is whole. All text is escaped.

    Args:
        class_names: in the order of the filter.
    """
    given = {id(decision): number for number, decision in enumerate(decisions)}
    counts = [(name, sum(one.predicted == name for one in decisions)) for name in class_names]
    return render(
        Path(__file__).parent,
        "gallery.html",
        "Decisions and their prototypes",
        styles=["gallery.css"],
        scripts=["gallery.js"],
        header=header,
        facts=_facts(decisions, header),
        orders=ORDERS,
        classes=[("", "all classes")] + [(name, f"{name} ({n:,})") for name, n in counts if n],
        rows=[(given[id(decision)], decision) for decision in wrong_first(decisions)],
        png=_png,
        percent=percent,
        least_rest=LEAST_REST,
    )


def _facts(decisions: Sequence[Explained], header: GalleryHeader) -> List[Tuple[str, str]]:
    """What the head says of the decisions: names and words."""
    facts, whole = [("inputs", header.inputs)], header.whole
    if whole is not None:
        facts.append(("decisions", _counts(whole.n, whole.n - whole.n_wrong, whole.n_wrong)))
        facts.append(("accuracy", percent(whole.accuracy)))
        facts.append(("mean confidence", percent(whole.confidence_mean)))
    right, wrong = (sum(one.right is value for one in decisions) for value in (True, False))
    mean = float(np.mean([one.confidence for one in decisions]))
    shown = f"{_counts(len(decisions), right, wrong)}, mean confidence {percent(mean)}"
    return [*facts, ("shown here", shown)]


def _counts(count: int, right: int, wrong: int) -> str:
    words = [(right, "right"), (wrong, "wrong"), (count - right - wrong, "without a label")]
    return f"{count:,}: " + ", ".join(f"{number:,} {word}" for number, word in words if number)


def _png(image: np.ndarray) -> bytes:
    """An image as it is, or reduced where it is large; one channel stays one channel."""
    if max(image.shape[:2]) > SIDE:
        image = fitted(image)
    return png_bytes(image[..., 0] if image.shape[2] == 1 else image)


# --- the pictures ----------------------------------------------------------------------------


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
    caption = [percent(prototype.weight), *map(_shortened, (prototype.label, prototype.source))]
    return Tile(np.concatenate([image, paper, bar]), "\n".join(caption))


def _beside_bar(image: np.ndarray) -> np.ndarray:
    """An image as large as leaves room for a bar below it."""
    return fitted(image, SIDE - BAR - GAP)
