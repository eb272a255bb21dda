"""The picture of decisions: a row each, coloured by their outcome, prototypes beside them."""

from __future__ import annotations

import numpy as np
import pytest
from proto_explained import explained, plain

from common.core.errors import ZooError
from protoattend.gallery.prototypes_picture import (
    AGREES,
    DIFFERS,
    RIGHT,
    UNKNOWN,
    WRONG,
    prototypes_picture,
)
from protoattend.gallery.tiles import tile

pytest.importorskip("PIL.Image", reason="pictures need Pillow")
TILE_PIXELS = 112**2
BORDER_PIXELS = 120**2 - TILE_PIXELS  # four pixels around a tile
LETTERS = 100  # the edges of letters may have a grey in so many pixels


def count(picture: np.ndarray, color) -> int:
    """How many pixels have exactly this colour, the square of the legend not counted."""
    return int((picture[:-40] == color).all(axis=2).sum())


def columns(picture: np.ndarray, color) -> np.ndarray:
    """The columns in which a colour is, the legend not counted."""
    return np.unique(np.argwhere((picture[:-40] == color).all(axis=2))[:, 1])


@pytest.mark.parametrize("label, color", [("cat", RIGHT), ("dog", WRONG), (None, UNKNOWN)])
def test_the_border_of_an_input_tells_the_outcome(label, color):
    picture = prototypes_picture([explained("cat", label, 0.5)])
    assert count(picture, color) >= BORDER_PIXELS
    assert all(count(picture, other) < LETTERS for other in {RIGHT, WRONG, UNKNOWN} - {color})


def test_images_are_shown_whole_with_sharp_pixels():
    picture = prototypes_picture([explained("cat", "cat", 0.5)])
    for grey in (200, 100, 99):
        assert TILE_PIXELS <= count(picture, (grey,) * 3) < TILE_PIXELS + LETTERS


def test_prototypes_follow_from_left_to_right_by_weight():
    picture = prototypes_picture([explained("cat", "cat", 0.5)])
    places = [np.median(columns(picture, (grey,) * 3)) for grey in (200, 100, 99)]
    assert places == sorted(places)


@pytest.mark.parametrize("label", ["cat", "dog", None])
def test_a_bar_is_as_long_as_its_weight_and_tells_whether_the_label_is_the_decision(label):
    picture = prototypes_picture([explained("cat", label, 0.5)])
    assert len(columns(picture, AGREES)) == 0.75 * 112
    assert len(columns(picture, DIFFERS)) == 0.25 * 112


def test_the_smallest_weight_is_seen():
    picture = prototypes_picture([explained("cat", "cat", 1, prototypes=[("dog", 1e-4)])])
    assert len(columns(picture, DIFFERS)) == 2


def test_only_the_heaviest_prototypes_are_drawn():
    picture = prototypes_picture([explained("cat", "cat", 0.5)], most=1)
    assert count(picture, (100,) * 3) >= TILE_PIXELS
    assert count(picture, (99,) * 3) < LETTERS


def test_rows_may_have_different_numbers_of_prototypes_or_none():
    decisions = [explained("cat", "cat", 1), explained("dog", "cat", 0, prototypes=[])]
    picture = prototypes_picture(decisions)
    assert count(picture, RIGHT) > 0 and count(picture, WRONG) > 0
    assert picture.dtype == np.uint8


def test_large_and_coloured_images_are_reduced_in_their_proportions():
    wide = np.zeros((200, 400, 3), np.uint8)
    wide[..., 0] = 250
    assert tile(wide).shape == (64, 128, 3)
    assert (tile(wide) == (250, 0, 0)).all()
    assert tile(plain(7, side=8)).shape == (128, 128, 3)


def test_no_decisions_are_one_clear_line():
    with pytest.raises(ZooError, match="no decision to draw"):
        prototypes_picture([])
