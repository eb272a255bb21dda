"""Curves with bands, and the axis that leaves out what was not logged."""

from __future__ import annotations

import numpy as np
import pytest

from common.evidence.figures.bands import SIZE, Band, band_picture, is_logarithmic, log_axis
from common.evidence.figures.broken_axis import axis_of, broken_axis
from common.evidence.figures.canvas import palette_color

GAPPED = np.concatenate([np.arange(0.0, 100, 10), np.arange(9000.0, 9100, 10)])


def band(across: np.ndarray, values: np.ndarray, noise: float = 0.1) -> Band:
    return Band("a", across, values - noise, values, values + noise)


def test_a_long_part_without_a_place_is_shortened() -> None:
    broken = broken_axis(GAPPED)
    assert broken.breaks == ((90.0, 9000.0),)
    moved = broken.moved(GAPPED)
    np.testing.assert_allclose(np.diff(moved)[[0, -1]], [10, 10])
    assert moved[10] - moved[9] == pytest.approx(broken.room)


def test_places_without_a_long_gap_stay() -> None:
    broken = broken_axis(np.array([0.0, 1, 2, 3, 5]))
    assert broken.breaks == ()
    np.testing.assert_array_equal(broken.moved(np.array([1.0, 5])), [1, 5])


def test_ticks_behind_a_gap_tell_the_true_numbers() -> None:
    axis = axis_of(broken_axis(GAPPED), GAPPED)
    assert axis.texts()[0] == "0"
    assert axis.texts()[-1] == "9.05k"
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


def test_a_part_without_a_round_place_has_a_tick_in_its_middle() -> None:
    places = np.concatenate([np.arange(0.0, 28000, 100), np.arange(315100.0, 319300, 100)])
    assert axis_of(broken_axis(places), places).texts() == ("0", "10k", "20k", "317k")


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [([0.05, 0.001], True), ([0.05, 0.01], False), ([5, 0.0], False), ([], False)],
)
def test_values_far_apart_need_a_logarithmic_axis(values, logarithmic: bool) -> None:
    assert is_logarithmic(np.array(values)) == logarithmic


def test_a_logarithmic_axis_is_labelled_with_the_values() -> None:
    axis = log_axis(np.array([0.0007, 0.04]))
    assert axis.labels == ("0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05")
    assert axis.low == pytest.approx(np.log10(0.0005))


def test_the_band_reaches_to_its_edges() -> None:
    pytest.importorskip("PIL", reason="pictures need Pillow")
    across = np.arange(0.0, 101)
    values = np.where(across < 50, 0.0, 1.0)  # the axis goes from -0.5 to 1.5
    picture = band_picture([band(across, values, 0.5)], "t").astype(int)
    column = picture[40:440, SIZE[0] // 4]
    tinted = np.flatnonzero(column.max(axis=1) - column.min(axis=1) > 10)
    # A band from -0.5 to 0.5 fills the lower half of the axis and nothing else.
    assert (tinted[-1] - tinted[0]) / 400 == pytest.approx(0.5, abs=0.05)
    assert len(tinted) > 0.95 * (tinted[-1] - tinted[0])


def test_a_gap_in_the_values_is_a_gap_in_the_line() -> None:
    pytest.importorskip("PIL", reason="pictures need Pillow")
    values = np.where(np.abs(np.arange(101) - 50) < 10, np.nan, 0.5)
    picture = band_picture([band(np.arange(0.0, 101), values, 0.0)], "t")
    painted = (picture == palette_color(0)).all(axis=2)[60:400].any(axis=0)
    middle = SIZE[0] // 2 + 20
    assert not painted[middle - 30 : middle + 10].any()
    assert painted[200] and painted[800]
