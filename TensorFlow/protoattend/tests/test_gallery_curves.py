"""Pictures of what confidence is worth."""

from __future__ import annotations

import numpy as np
import pytest
from proto_decisions import decisions

from common.evidence.figures.canvas import palette_color
from common.evidence.figures.plot import SIZE
from protoattend.gallery.curves import (
    ACCURACY,
    DISTANCE,
    DOT,
    RELIABILITY_SIZE,
    confidence_picture,
    coverage_picture,
    evaluation_pictures,
    histogram,
    reliability_picture,
)
from protoattend.metrics.calibration import calibration
from protoattend.metrics.summary import CoveragePoint

pytest.importorskip("PIL.Image", reason="pictures need Pillow")
PLOT = slice(40, 300)  # rows of a picture between title and legend


def places(picture: np.ndarray, color) -> np.ndarray:
    """Where exactly this colour is in the plot: (row, column)."""
    return np.argwhere((picture[PLOT] == color).all(axis=2)) + (PLOT.start, 0)


def test_accuracy_and_coverage_are_two_curves():
    points = [
        CoveragePoint(threshold, 1, 1 - threshold, 0.5 + threshold / 2)
        for threshold in np.linspace(0, 0.9, 10)
    ]
    picture = coverage_picture(points)
    assert picture.shape == SIZE[::-1] + (3,)
    assert np.corrcoef(places(picture, palette_color(0)).T)[0, 1] < -0.99
    assert np.corrcoef(places(picture, palette_color(1)).T)[0, 1] > 0.99


def test_the_curve_of_accuracy_ends_where_nothing_is_decided():
    points = [
        CoveragePoint(0.0, 4, 1.0, 0.75),
        CoveragePoint(0.5, 4, 1.0, 0.75),
        CoveragePoint(1.0, 0, 0.0, None),
    ]
    picture = coverage_picture(points)
    accuracy, coverage = (places(picture, palette_color(number)) for number in range(2))
    assert accuracy[:, 1].max() < 0.6 * SIZE[0] < 0.9 * SIZE[0] < coverage[:, 1].max()


def test_a_bar_of_the_reliability_diagram_is_as_high_as_the_accuracy():
    right = np.array([1, 1, 1, 0], bool)
    half = reliability_picture(calibration(np.full(4, 0.5), right))
    assert half.shape == RELIABILITY_SIZE[::-1] + (3,)
    bar = np.argwhere((half == ACCURACY).all(axis=2))[:-1]
    heights = [np.ptp(bar[bar[:, 1] == column][:, 0]) for column in np.unique(bar[:, 1])]
    whole = np.argwhere(
        (reliability_picture(calibration(np.full(4, 0.5), right | True)) == ACCURACY).all(axis=2)
    )
    full = max(np.ptp(whole[whole[:, 1] == column][:, 0]) for column in np.unique(whole[:, 1]))
    assert max(heights) / full == pytest.approx(0.75, abs=0.02)


def test_the_stem_of_a_dot_is_the_distance_of_accuracy_and_confidence():
    right = np.array([1, 1, 0, 0], bool)
    far, near = (
        reliability_picture(calibration(np.full(4, value), right))[:400] for value in (0.9, 0.5)
    )
    assert (far == DISTANCE).all(axis=2).sum() > 300
    assert (near == DISTANCE).all(axis=2).sum() == 0


def test_the_area_of_a_dot_is_the_share_of_decisions():
    confidence = np.repeat([0.3, 0.7], [90, 10])
    picture = reliability_picture(calibration(confidence, np.resize([True, False], 100)))[:400]
    dots = np.argwhere((picture == DOT).all(axis=2))
    large, small = (dots[:, 1] < 260).sum(), (dots[:, 1] > 260).sum()
    assert large / small == pytest.approx(9, rel=0.35)


def test_a_histogram_is_in_percent_of_its_set():
    found = histogram(np.array([0.01, 0.02, 0.99, 1.000002]))
    assert (found[0], found[-1], found.sum()) == (50, 50, 100)


def test_sets_of_confidences_lie_where_their_values_are():
    picture = confidence_picture("known", np.full(9, 0.9), {"noise": np.full(3, 0.1)})
    known, noise = (places(picture, palette_color(number))[:, 1] for number in range(2))
    assert np.median(noise) < 0.3 * SIZE[0] < 0.7 * SIZE[0] < np.median(known)


def test_the_legend_has_the_auroc_of_each_other_set():
    apart, same = (
        confidence_picture("known", np.array([0.91, 0.92]), {"noise": values})
        for values in (np.array([0.93, 0.94]), np.array([0.91, 0.92]))
    )
    below = slice(PLOT.stop, None)
    np.testing.assert_array_equal(apart[PLOT], same[PLOT])
    assert (apart[below] != same[below]).any()


def test_an_evaluation_has_three_pictures_two_without_other_sets():
    some = decisions([0, 1, 2], [0, 1, 1], [1, 1, 1])
    found = evaluation_pictures(some, "known", {"noise": np.full(3, 0.5)})
    assert sorted(found) == ["confidence", "coverage", "reliability"]
    assert sorted(evaluation_pictures(some, "known")) == ["coverage", "reliability"]


def test_decisions_without_any_confidence_can_be_drawn():
    found = evaluation_pictures(decisions([0, 1], [1, 0], [0, 0]), "known")
    assert all(picture.dtype == np.uint8 for picture in found.values())
