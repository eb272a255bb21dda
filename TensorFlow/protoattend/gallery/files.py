"""Explanations as files: pictures of some decisions, an HTML gallery of all."""

from __future__ import annotations

from typing import Callable, Dict, Sequence, Union

from common.evidence.figures.figure import png_bytes
from protoattend.gallery.explained import Explained
from protoattend.gallery.page import GalleryHeader, gallery_page
from protoattend.gallery.prototypes import pages, prototypes_figure

MOST_PICTURES = 20


def explanation_files(
    decisions: Sequence[Explained], class_names: Sequence[str], header: GalleryHeader
) -> Dict[str, Callable[[], Union[str, bytes]]]:
    """What makes gallery.html, prototypes.png, and prototypes_2.png … where one is not enough.

    There are at most MOST_PICTURES pictures; the gallery has all decisions.
    """
    files: Dict[str, Callable[[], Union[str, bytes]]] = {
        "gallery.html": lambda: gallery_page(decisions, class_names, header)
    }
    first = 0
    for number, page in enumerate(pages(decisions)[:MOST_PICTURES], start=1):
        name = "prototypes.png" if number == 1 else f"prototypes_{number}.png"
        files[name] = _drawing(page, first, len(decisions))
        first += len(page)
    return files


def _drawing(page: Sequence[Explained], first: int, whole: int) -> Callable[[], bytes]:
    return lambda: png_bytes(prototypes_figure(page, first, whole))
