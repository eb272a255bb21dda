"""Figures of what confidence is worth: their data, and that every case can be drawn."""

from __future__ import annotations

import numpy as np
import pytest
from proto_decisions import decisions

from common.evidence.figures.figure import pixels
from protoattend.gallery.curves import (
    confidence_figure,
    coverage_figure,
    evaluation_figures,
    histogram,
    reliability_figure,
)
from protoattend.metrics.calibration import calibration
from protoattend.metrics.summary import CoveragePoint


def test_coverage_has_a_curve_of_accuracy_that_ends_where_nothing_is_decided():
    axes = coverage_figure(
        [CoveragePoint(0.0, 4, 1.0, 0.75), CoveragePoint(1.0, 0, 0.0, None)]
    ).axes[0]
    accuracy, coverage = (
        line.get_ydata() for line in axes.lines if not line.get_label().startswith("_")
    )
    np.testing.assert_array_equal(accuracy, [75, np.nan])
    np.testing.assert_array_equal(coverage, [100, 0])


def test_a_bar_of_the_reliability_diagram_is_as_high_as_the_accuracy():
    axes = reliability_figure(
        calibration(np.repeat([0.3, 0.7], [90, 10]), np.resize([True, False], 100))
    ).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [50, 50]
    dots, stems = axes.collections[1], axes.collections[0]
    np.testing.assert_allclose(dots.get_offsets(), [[0.3, 50], [0.7, 50]])
    assert dots.get_sizes()[0] == 9 * dots.get_sizes()[1]  # as their shares of the decisions
    np.testing.assert_allclose(stems.get_segments()[0], [[0.3, 50], [0.3, 30]])


def test_a_histogram_is_in_percent_of_its_set():
    found = histogram(np.array([0.01, 0.02, 0.99, 1.000002]))
    assert (found[0], found[-1], found.sum()) == (50, 50, 100)


def test_the_legend_has_the_auroc_of_each_other_set():
    axes = confidence_figure("known", np.full(9, 0.9), {"noise": np.full(3, 0.1)}).axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["known", "noise: AUROC 1.000"]


@pytest.mark.parametrize("others, names", [({}, 2), ({"noise": np.full(3, 0.5)}, 3)])
@pytest.mark.parametrize("confidence", [0, 1])
def test_every_figure_of_an_evaluation_can_be_drawn_and_its_axes_are_titled(
    others, names, confidence
):
    some = decisions([0, 1, 2], [0, 1, 1], [confidence] * 3)
    figures = [draw() for draw in evaluation_figures(some, "已知", others).values()]
    assert len(figures) == names
    for figure in figures:
        assert figure.axes[0].get_xlabel().endswith("(0 to 1)")
        assert figure.axes[0].get_ylabel().endswith("(%)")
        assert pixels(figure).std() > 0
