"""A gallery of decisions and their prototypes as one HTML page that needs nothing beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.figure import png_bytes
from common.evidence.figures.sheet import SIDE, fitted
from common.evidence.html_page.render import render
from protoattend.gallery.explained import LEAST_REST, Explained, percent, wrong_first
from protoattend.metrics.measures import Summary
from protoattend.metrics.report import CandidateSet

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
    return facts + [("shown here", shown)]


def _counts(count: int, right: int, wrong: int) -> str:
    words = [(right, "right"), (wrong, "wrong"), (count - right - wrong, "without a label")]
    return f"{count:,}: " + ", ".join(f"{number:,} {word}" for number, word in words if number)


def _png(image: np.ndarray) -> bytes:
    """An image as it is, or reduced where it is large; one channel stays one channel."""
    if max(image.shape[:2]) > SIDE:
        image = fitted(image)
    return png_bytes(image[..., 0] if image.shape[2] == 1 else image)
