"""A gallery of decisions and their prototypes as one HTML page that needs nothing beside it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import List, Sequence

import numpy as np

from common.core.errors import ZooError
from common.evidence.figures.canvas import LEAST_TILE, png_bytes
from common.evidence.html_page.document import breakable, document, facts
from common.evidence.html_page.images import image_element
from protoattend.gallery.explained import Explained, Prototype, wrong_first
from protoattend.gallery.page_script import SCRIPT
from protoattend.gallery.page_style import STYLE
from protoattend.gallery.texts import outcome, percent
from protoattend.gallery.tiles import tile
from protoattend.metrics.report import CandidateSet

TITLE = "Decisions and their prototypes"
HASH_LETTERS = 12  # of a checkpoint's sha256
LEAST_REST = 0.005  # a smaller rest of the weight is not mentioned
ORDERS = (
    ("wrong", "wrong decisions first"),
    ("least", "least confident first"),
    ("most", "most confident first"),
    ("given", "as given"),
)
SIGNS = {True: "\u2713", False: "\u2717", None: "?"}
OUTCOME_CLASSES = {True: "right", False: "wrong", None: "unknown"}


@dataclass(frozen=True)
class GalleryHeader:
    """What a gallery says of its origin.

    inputs: what was decided on, such as "fashion_mnist test". checkpoint_sha256: of the weights.
    date: when, in words for people.
    """

    inputs: str
    candidates: CandidateSet
    checkpoint_sha256: str
    date: str


def gallery_page(
    decisions: Sequence[Explained], class_names: Sequence[str], header: GalleryHeader
) -> str:
    """Writes the page: a table of decisions, wrong ones first, with a script that sorts it.

    Images are inside as PNG, nothing is loaded from elsewhere, and the page's own policy forbids
    it. Without the script the table is whole. All text is escaped.

    Args:
        class_names: in the order of the filter.

    Raises:
        ZooError: there is no decision.
    """
    if not decisions:
        raise ZooError("no decisions for the gallery; give at least one image")
    given = {id(decision): number for number, decision in enumerate(decisions)}
    rows = [
        _row(decision, rank, given[id(decision)])
        for rank, decision in enumerate(wrong_first(decisions))
    ]
    return document(
        TITLE,
        STYLE,
        SCRIPT,
        [
            *_header(decisions, header),
            "<main>",
            *_controls(decisions, class_names),
            *_table(rows),
            "</main>",
        ],
    )


def _header(decisions: Sequence[Explained], header: GalleryHeader) -> List[str]:
    candidates = header.candidates
    told = [
        ("inputs", escape(header.inputs)),
        ("decisions", escape(_counts(decisions))),
        ("mean confidence", percent(float(np.mean([one.confidence for one in decisions])))),
        (
            "candidates",
            f"{candidates.count:,} of {escape(candidates.dataset)}, sha256 "
            f"<code>{breakable(candidates.sha256)}</code>",
        ),
        ("checkpoint", f"sha256 <code>{escape(header.checkpoint_sha256[:HASH_LETTERS])}</code>"),
        ("made", escape(header.date)),
    ]
    return [
        "<header>",
        f"<h1>{TITLE}</h1>",
        "<p>Each input is decided on by a few labelled examples, its prototypes. The "
        "confidence is the weight of those whose label is the class decided for.</p>",
        *facts(told),
        "</header>",
    ]


def _counts(decisions: Sequence[Explained]) -> str:
    counts = [
        (sum(one.right is value for one in decisions), word)
        for value, word in ((True, "right"), (False, "wrong"), (None, "without a label"))
    ]
    return ", ".join(f"{count:,} {word}" for count, word in counts if count)


def _controls(decisions: Sequence[Explained], class_names: Sequence[str]) -> List[str]:
    """Hidden until the script shows them."""
    counts = [(name, sum(one.predicted == name for one in decisions)) for name in class_names]
    classes = [("", "all classes")] + [
        (name, f"{name} ({count:,})") for name, count in counts if count
    ]
    return [
        '<div class="controls" id="controls" hidden>',
        _choice("order", "Order", ORDERS),
        _choice("class", "Decided for", classes),
        '<output id="count" role="status"></output>',
        "</div>",
    ]


def _choice(name: str, title: str, options: Sequence[Sequence[str]]) -> str:
    entries = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options
    )
    return (
        f'<label for="{name}">{escape(title)} <select id="{name}" '
        f'autocomplete="off">{entries}</select></label>'
    )


def _table(rows: Sequence[str]) -> List[str]:
    """With roles said, since a phone shows the rows as cards."""
    heads = "".join(
        f'<th scope="col" role="columnheader">{title}</th>'
        for title in ("Input", "Decision", "Prototypes by weight")
    )
    return [
        '<table role="table">',
        "<caption>Blue bars: prototypes of the class decided for; orange: of another "
        "class.</caption>",
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>',
        '<tbody role="rowgroup">',
        *rows,
        "</tbody>",
        "</table>",
    ]


def _row(decision: Explained, rank: int, given: int) -> str:
    prototypes = "".join(
        _prototype(prototype, prototype.label == decision.predicted)
        for prototype in decision.prototypes
    )
    if decision.rest >= LEAST_REST:
        prototypes += f'<li class="rest">others {escape(percent(decision.rest))}</li>'
    return (
        '<tr role="row" class="{kind}" data-rank="{rank}" data-given="{given}" '
        'data-confidence="{confidence:.6f}" data-predicted="{predicted}">'
        '<td role="cell" class="input">{image}<div class="name">{name}</div></td>'
        '<td role="cell" class="decision"><span class="class">{predicted}</span>'
        '<span class="outcome">{sign} {outcome}</span>'
        '<span class="confidence">confidence {percent}</span>{bar}</td>'
        '<td role="cell" class="prototypes"><ul>{prototypes}</ul></td></tr>'
    ).format(
        kind=OUTCOME_CLASSES[decision.right],
        rank=rank,
        given=given,
        confidence=decision.confidence,
        predicted=escape(decision.predicted),
        image=_image(decision.image, "input " + decision.name),
        name=escape(decision.name),
        sign=SIGNS[decision.right],
        outcome=escape(outcome(decision)),
        percent=escape(percent(decision.confidence)),
        bar=_bar(decision.confidence),
        prototypes=prototypes,
    )


def _prototype(prototype: Prototype, agrees: bool) -> str:
    return (
        '<li class="{}">{}{}<span class="weight">{}</span>{}<span class="row">row {}</span></li>'
    ).format(
        "agrees" if agrees else "differs",
        _image(prototype.image, "prototype " + prototype.label),
        _bar(prototype.weight),
        escape(percent(prototype.weight)),
        escape(prototype.label),
        prototype.row,
    )


def _bar(share: float) -> str:
    """A picture of a number that stands beside it, so not for screen readers."""
    filled = f'<span style="width:{100 * min(share, 1):.1f}%"></span>' if share > 0 else ""
    return f'<span class="bar" aria-hidden="true">{filled}</span>'


def _image(image: np.ndarray, name: str) -> str:
    """An image inside the page; large ones are reduced, one channel stays one channel."""
    if max(image.shape[:2]) > LEAST_TILE:
        image = tile(image)
    height, width = image.shape[:2]
    content = png_bytes(image[..., 0] if image.shape[2] == 1 else image)
    return image_element(content, "image/png", name, width, height)
