"""Tiles in a grid, and values as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from common.evidence.figures.canvas import MARGIN
from slot_attention.pictures.grid import Column, grid
from slot_attention.pictures.pixels import as_pixels

pytest.importorskip("PIL.Image", reason="pictures need Pillow")


def test_pixels_of_minus_one_to_one_are_bytes_of_0_to_255():
    assert as_pixels(np.array([-2, -1, 0, 1, 2])).tolist() == [0, 0, 128, 255, 255]


def test_empty_places_of_a_grid_stay_white():
    tile = np.zeros((128, 128, 3), np.uint8)
    picture = grid([Column("")] * 2, [[tile, None]], [""], [1])
    right = picture[-MARGIN - 128 :, -MARGIN - 128 :]
    assert (right == 255).all()
    assert (picture == 0).all(axis=2).sum() == 128 * 128
