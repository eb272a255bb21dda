"""Curves over training steps."""

from __future__ import annotations

import numpy as np
import pytest

from slot_attention.pictures.canvas import slot_color
from slot_attention.pictures.curves import (
    HEIGHT,
    WIDTH,
    Axis,
    Curve,
    as_text,
    curve_picture,
    nice_axis,
)

pytest.importorskip("PIL.Image", reason="pictures need Pillow")
PLOT = slice(40, 300)  # rows of the picture between title and legend


def places(picture: np.ndarray, number: int) -> np.ndarray:
    """Where a curve's pure colour is in the plot: (row, column)."""
    return np.argwhere((picture[PLOT] == slot_color(number)).all(axis=2)) + (PLOT.start, 0)


@pytest.mark.parametrize("low, high, ticks", [
    (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)), (0.13, 0.97, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    (0, 14000, (0, 5000, 10000, 15000)), (-0.1, 0.3, (-0.1, 0, 0.1, 0.2, 0.3))])
def test_axis_has_round_ticks_around_its_values(low, high, ticks):
    assert nice_axis(low, high) == Axis(ticks[0], ticks[-1], ticks)


def test_axis_of_one_value_has_room_around_it():
    axis = nice_axis(3.0, 3.0)
    assert axis.low < 3 < axis.high


@pytest.mark.parametrize("tick, text", [
    (0.25, "0.25"), (0, "0"), (1500, "1.5k"), (500000, "500k"), (2e6, "2M"), (1e-5, "1e-05")])
def test_ticks_are_short(tick, text):
    assert as_text(tick) == text


def test_a_rising_curve_rises_from_left_to_right():
    picture = curve_picture([Curve("seed 0", [0, 100], [0, 1])], "FG-ARI")
    assert picture.shape == (HEIGHT, WIDTH, 3)
    at = places(picture, 0)
    assert np.corrcoef(at.T)[0, 1] < -0.999


def test_each_curve_has_its_colour_at_its_height():
    picture = curve_picture([Curve("a", [0, 1], [0.2, 0.2]), Curve("b", [0, 1], [0.8, 0.8])],
                            "two", limits=(0, 1))
    low, high = places(picture, 0)[:, 0].mean(), places(picture, 1)[:, 0].mean()
    assert high < low


def test_nan_leaves_a_gap():
    steps = np.arange(101)
    values = np.where(abs(steps - 50) < 10, np.nan, 0.5)
    columns = np.unique(places(curve_picture([Curve("a", steps, values)], "gap"), 0)[:, 1])
    gaps = np.diff(columns)
    assert (gaps > 1).sum() == 1
    assert gaps.max() == pytest.approx((columns[-1] - columns[0]) * 0.2, rel=0.05)


def test_values_beyond_the_limits_stay_in_the_plot():
    picture = curve_picture([Curve("a", [0, 1, 2], [0, 50, 1])], "peak", limits=(0, 1))
    assert (picture[:30] == slot_color(0)).all(axis=2).sum() == 0


def test_threshold_is_a_dashed_line():
    curves = [Curve("a", [0, 1], [0, 1])]
    rows = curve_picture(curves, "", threshold=0.9)[PLOT] != curve_picture(curves, "")[PLOT]
    changed = np.unique(np.argwhere(rows.any(axis=2))[:, 0])
    assert len(changed) <= 2
    assert 0.3 < rows[changed].any(axis=(0, 2)).mean() < 0.7


def test_no_values_give_an_empty_plot():
    assert len(places(curve_picture([Curve("a", [], [])], "nothing yet"), 0)) == 0
