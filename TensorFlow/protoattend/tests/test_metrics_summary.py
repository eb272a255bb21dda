"""Accuracy, prototypes, confidence and coverage of decisions whose outcome is known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from proto_decisions import decisions

from common.core.errors import ZooError
from protoattend.metrics.summary import THRESHOLDS, coverage_curve, summary

FOUR = decisions([0, 1, 2, 3], [0, 1, 2, 0], [0.875, 0.75, 0.5, 0.25])
ALL_RIGHT = decisions([0, 1], [0, 1], [1, 0.5])


def test_accuracy_of_the_mix_and_of_the_encoder_alone():
    found = summary(FOUR)
    assert (found.n, found.n_wrong) == (4, 1)
    assert (found.accuracy, found.encoder_accuracy) == (0.75, 0.25)


def test_median_number_of_prototypes_for_each_share():
    counts = [(1, 2, 2), (1, 4, 9), (3, 30, 40)]
    found = summary(decisions([0, 0, 0], [0, 0, 0], [1, 1, 1], counts=counts))
    assert found.prototypes == {0.5: 1, 0.9: 4, 0.95: 9}


def test_confidence_of_right_and_of_wrong_decisions_is_divided_by_their_number():
    found = summary(FOUR)
    assert found.confidence_mean == pytest.approx(0.59375, abs=1e-12)
    assert found.confidence_right == pytest.approx(2.125 / 3, abs=1e-12)
    assert found.confidence_wrong == pytest.approx(0.25, abs=1e-12)


def test_the_reference_divides_both_by_all_decisions():
    found = summary(FOUR, reference_denominators=True)
    assert found.confidence_right == pytest.approx(2.125 / 4, abs=1e-12)
    assert found.confidence_wrong == pytest.approx(0.25 / 4, abs=1e-12)
    assert found.confidence_right + found.confidence_wrong == pytest.approx(found.confidence_mean)


def test_without_wrong_decisions_their_confidence_is_none_and_not_nan():
    found = summary(ALL_RIGHT)
    assert found.n_wrong == 0
    assert found.confidence_wrong is None
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_no_decisions_are_one_clear_line():
    with pytest.raises(ZooError, match="empty"):
        summary(decisions([], [], []))


def test_coverage_and_accuracy_above_a_threshold():
    points = coverage_curve(FOUR.confidence, FOUR.right, (0.1, 0.3, 0.6))
    assert [point.coverage for point in points] == [1, 0.75, 0.5]
    assert [point.accuracy for point in points] == [0.75, 1, 1]
    assert [point.n for point in points] == [4, 3, 2]


def test_a_decision_at_the_threshold_is_not_above_it():
    confidence = np.full(3, 0.9, np.float32)
    (point,) = coverage_curve(confidence, np.ones(3, bool), (0.9,))
    assert point.n == 0


def test_accuracy_of_no_decision_is_none():
    (point,) = coverage_curve(FOUR.confidence, FOUR.right, (0.999,))
    assert (point.coverage, point.accuracy) == (0, None)


def test_the_published_thresholds_are_measured():
    assert {0.5, 0.8, 0.9, 0.95, 0.99, 0.999} <= set(THRESHOLDS)
