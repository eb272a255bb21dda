"""Expected calibration error and the bins of a reliability diagram."""

from __future__ import annotations

import numpy as np
import pytest

from protoattend.metrics.calibration import BINS, calibration


def test_confidence_that_is_the_share_of_right_decisions_has_no_error():
    confidence = np.repeat([0.25, 0.75], 4)
    right = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert calibration(confidence, right).error == pytest.approx(0, abs=1e-15)


def test_error_is_weighted_by_the_decisions_in_a_bin():
    confidence = np.array([0.9, 0.9, 0.9, 0.3])
    right = np.array([1, 1, 0, 1], bool)
    expected = 3 / 4 * (0.9 - 2 / 3) + 1 / 4 * (1 - 0.3)
    assert calibration(confidence, right).error == pytest.approx(expected, abs=1e-12)


def test_error_is_that_of_the_definition_on_random_decisions():
    random = np.random.RandomState(3)
    confidence = random.rand(1000)
    right = random.rand(1000) < confidence**2
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration(confidence, right).error == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_confidences_are_in_one_bin(value):
    found = calibration(np.full(4, value, np.float32), np.array([1, 1, 1, 0], bool))
    assert found.error == pytest.approx(abs(0.75 - value), abs=1e-12)
    assert [entry.n for entry in found.bins if entry.n] == [4]


def test_bins_cover_0_to_1_and_empty_ones_have_no_accuracy():
    found = calibration(np.array([1.0]), np.array([True]))
    assert len(found.bins) == BINS
    assert (found.bins[0].low, found.bins[-1].high) == (0, 1)
    assert (found.bins[0].n, found.bins[0].accuracy, found.bins[-1].accuracy) == (0, None, 1)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    found = calibration(np.array([0.5]), np.array([True]), bins=2)
    assert [entry.n for entry in found.bins] == [1, 0]


def test_confidence_that_rounding_brought_above_1_counts_as_1():
    found = calibration(np.array([1.000002], np.float32), np.array([True]))
    assert found.error == 0
    assert found.bins[-1].n == 1
