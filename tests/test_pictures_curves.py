"""Curves, and the axes and legends of plots."""

from __future__ import annotations

import numpy as np
import pytest

from common.evidence.figures.canvas import palette_color
from common.evidence.figures.curves import Curve, curve_picture
from common.evidence.figures.plot import SIZE, Axis, Entry, Texts, as_text, nice_axis, plot

pytest.importorskip("PIL.Image", reason="pictures need Pillow")
PLOT = slice(40, 300)  # rows of the picture between title and legend


def places(picture: np.ndarray, number: int) -> np.ndarray:
    """Where a curve's pure colour is in the plot: (row, column)."""
    return np.argwhere((picture[PLOT] == palette_color(number)).all(axis=2)) + (PLOT.start, 0)


@pytest.mark.parametrize(
    "low, high, ticks",
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0.13, 0.97, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0, 14000, (0, 5000, 10000, 15000)),
        (-0.1, 0.3, (-0.1, 0, 0.1, 0.2, 0.3)),
    ],
)
def test_axis_has_round_ticks_around_its_values(low, high, ticks):
    assert nice_axis(low, high) == Axis(ticks[0], ticks[-1], ticks)


def test_axis_of_one_value_has_room_around_it():
    axis = nice_axis(3.0, 3.0)
    assert axis.low < 3 < axis.high


@pytest.mark.parametrize(
    "tick, text",
    [(0.25, "0.25"), (0, "0"), (1500, "1.5k"), (500000, "500k"), (2e6, "2M"), (1e-5, "1e-05")],
)
def test_ticks_are_short(tick, text):
    assert as_text(tick) == text


def test_a_rising_curve_rises_from_left_to_right():
    picture = curve_picture([Curve("seed 0", [0, 100], [0, 1])], "FG-ARI")
    assert picture.shape == SIZE[::-1] + (3,)
    at = places(picture, 0)
    assert np.corrcoef(at.T)[0, 1] < -0.999


def test_each_curve_has_its_colour_at_its_height():
    picture = curve_picture(
        [Curve("a", [0, 1], [0.2, 0.2]), Curve("b", [0, 1], [0.8, 0.8])], "two", limits=(0, 1)
    )
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
    assert (picture[:30] == palette_color(0)).all(axis=2).sum() == 0


def test_threshold_is_a_dashed_line():
    curves = [Curve("a", [0, 1], [0, 1])]
    rows = curve_picture(curves, "", threshold=0.9)[PLOT] != curve_picture(curves, "")[PLOT]
    changed = np.unique(np.argwhere(rows.any(axis=2))[:, 0])
    assert len(changed) <= 2
    assert 0.3 < rows[changed].any(axis=(0, 2)).mean() < 0.7


def test_no_values_give_an_empty_plot():
    assert len(places(curve_picture([Curve("a", [], [])], "nothing yet"), 0)) == 0


def test_the_axis_across_has_the_name_it_is_given():
    curves = [Curve("a", [0, 1], [0, 1])]
    step, threshold = (curve_picture(curves, "", across=name) for name in ("step", "threshold"))
    changed = np.argwhere((step != threshold).any(axis=2))
    assert changed[:, 0].min() > PLOT.stop and changed[:, 1].min() > SIZE[0] / 2


def test_a_legend_that_is_too_long_goes_on_in_a_second_line():
    unit = nice_axis(0, 1)
    colors = [palette_color(number) for number in range(4)]
    legend = [Entry("a name that takes a third of the width", color) for color in colors]
    picture = plot(unit, unit, Texts("", "step", legend), lambda pen, frame: None)
    rows = [np.argwhere((picture == color).all(axis=2))[:, 0].mean() for color in colors]
    assert rows[0] == rows[1] < rows[2] == rows[3]


def test_a_fourth_value_of_a_colour_is_its_opacity():
    unit = nice_axis(0, 1)

    def paint(pen, frame):
        pen.rectangle(frame.place(0, 1) + frame.place(1, 0), fill=(0, 0, 0, 51))

    assert (plot(unit, unit, Texts("", ""), paint)[100:200, 100:200].max()) == 204
