"""The figures of decisions: a row each, in words and colours, as many figures as are needed."""

from __future__ import annotations

import numpy as np
import pytest
from proto_explained import CLASSES, explained, plain

from common.core.errors import ZooError
from common.evidence.figures.figure import pixels
from protoattend.gallery.files import MOST_PICTURES, explanation_files
from protoattend.gallery.page import GalleryHeader
from protoattend.gallery.prototypes import (
    AGREES,
    BORDERS,
    DIFFERS,
    ROWS,
    pages,
    prototype_tile,
    prototypes_figure,
    weight_bar,
    words,
)
from protoattend.metrics.report import CandidateSet


def said(figure) -> str:
    return "\n".join(text.get_text() for text in figure.axes[0].texts)


@pytest.mark.parametrize(
    "label, outcome", [("cat", "right"), ("dog", "wrong, label dog"), (None, "label not known")]
)
def test_the_outcome_is_told_in_words_and_by_the_border_of_the_input(label, outcome):
    figure = prototypes_figure([explained("cat", label, 0.5, name="a.png")])
    assert outcome in said(figure) and "decision: cat" in said(figure) and "a.png" in said(figure)
    drawn = pixels(figure)
    present = {
        right for right, color in BORDERS.items() if (drawn == color).all(axis=2).sum() > 1000
    }
    assert present == {None if label is None else label == "cat"}


def test_a_prototype_has_weight_label_and_origin_below():
    (decision,) = [explained("cat", "cat", 0.5, prototypes=[("dog", 0.25)])]
    tile = prototype_tile(decision.prototypes[0], "cat")
    assert tile.caption == "25 %\ndog\ntrain row 1000"


@pytest.mark.parametrize(
    "share, agrees, color, filled",
    [
        (0.75, True, AGREES, 75),
        (1e-4, True, AGREES, 2),
        (0, True, AGREES, 0),
        (0.5, False, DIFFERS, 38),
    ],
)
def test_a_bar_is_as_long_as_its_weight_and_striped_where_the_class_is_another(
    share, agrees, color, filled
):
    assert (weight_bar(share, 100, agrees)[0] == color).all(axis=1).sum() == filled


def test_what_the_prototypes_shown_leave_is_told():
    many = explained("cat", "cat", 1, prototypes=[("cat", 0.1)] * 10)
    assert "not shown: 20 %" in words(many)
    assert "not shown" not in words(explained("cat", "cat", 1, prototypes=[("cat", 1.0)]))


@pytest.mark.parametrize("name", ["飞机", "汽车\ud83d\ude97", "x" * 300, "a$b$c^{", "\x07", ""])
def test_any_class_and_file_name_can_be_drawn(name):
    decision = explained(name, name + "!", 0.5, name=name, prototypes=[(name, 0.5)])
    assert pixels(prototypes_figure([decision, explained("cat", None, 0, prototypes=[])])).std() > 0


@pytest.mark.parametrize("count, pictures", [(1, 1), (ROWS, 1), (ROWS + 1, 2), (81, 7)])
def test_many_decisions_are_several_pictures_of_a_size_that_can_be_looked_at(count, pictures):
    decisions = [explained("cat", "cat", 1)] * count
    header = GalleryHeader("files", CandidateSet("pets", 3, "0"), "1", "now")
    files = explanation_files(decisions, CLASSES, header)
    assert sorted(files) == sorted(
        ["gallery.html", "prototypes.png"]
        + [f"prototypes_{number}.png" for number in range(2, pictures + 1)]
    )
    assert sum(map(len, pages(decisions))) == count


def test_a_picture_is_of_a_size_that_can_be_looked_at():
    figure = prototypes_figure([explained("cat", "cat", 1)] * ROWS, ROWS, 81)
    height, width = pixels(figure).shape[:2]
    assert height < 4000 and width < 2000
    assert f"{ROWS + 1} to {2 * ROWS} of 81 decisions" in said(figure).replace("\n", " ")


def test_thousands_of_decisions_are_a_limited_number_of_pictures():
    header = GalleryHeader("files", CandidateSet("pets", 3, "0"), "1", "now")
    decisions = [explained("cat", "cat", 1)] * 3000
    assert len(explanation_files(decisions, CLASSES, header)) == MOST_PICTURES + 1


def test_large_and_coloured_images_are_reduced():
    tile = prototype_tile(explained("cat", "cat", 1, side=300, channels=3).prototypes[0], "cat")
    assert max(tile.image.shape) <= 128 and tile.image.dtype == np.uint8
    assert plain(7, side=8).shape == (8, 8, 1)


def test_no_decisions_are_one_clear_line():
    with pytest.raises(ZooError, match="no decision to draw"):
        pages([])
