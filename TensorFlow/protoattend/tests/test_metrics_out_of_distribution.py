"""AUROC and false positives of confidences, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from common.core.errors import ZooError
from protoattend.metrics.out_of_distribution import (
    area_under_roc,
    false_positive_rate,
    separation,
)


def test_larger_confidences_inside_are_told_apart_perfectly():
    found = separation(np.array([0.8, 0.9, 1.0]), np.array([0.1, 0.7]), "noise")
    assert (found.auroc, found.false_positive_rate, found.n) == (1, 0, 2)
    assert found.confidence_mean == pytest.approx(0.4, abs=1e-12)


def test_larger_confidences_outside_give_0():
    assert area_under_roc(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == 0


def test_equal_confidences_are_chance_and_all_others_pass():
    same = np.ones(7)
    assert area_under_roc(same, same[:3]) == 0.5
    assert false_positive_rate(same, same[:3]) == 1


def test_ties_count_half():
    assert area_under_roc(np.array([0.5, 0.9]), np.array([0.5, 0.1])) == 3.5 / 4


def test_false_positives_are_those_that_pass_where_95_percent_inside_do():
    inside = np.arange(20) / 20
    assert false_positive_rate(inside, np.array([0.0, 0.04, 0.05, 0.5])) == 0.5


@pytest.mark.parametrize("places", [1, 8])
def test_both_are_those_of_scikit_learn(places):
    metrics = pytest.importorskip("sklearn.metrics", reason="compared with scikit-learn")
    random = np.random.RandomState(5)
    inside = np.round(random.beta(5, 1, 1000), places)
    outside = np.round(random.beta(2, 2, 700), places)
    true, values = np.repeat([1, 0], [1000, 700]), np.concatenate([inside, outside])
    found = separation(inside, outside, "other")
    assert found.auroc == pytest.approx(metrics.roc_auc_score(true, values), abs=1e-12)
    false_rate, true_rate, _ = metrics.roc_curve(true, values, drop_intermediate=False)
    assert found.false_positive_rate == pytest.approx(
        false_rate[true_rate >= 0.95].min(), abs=1e-12
    )


def test_an_empty_set_is_named_in_one_line():
    with pytest.raises(ZooError, match="set digits is empty") as error:
        separation(np.ones(3), np.ones(0), "digits")
    assert "\n" not in str(error.value)


def test_a_confidence_that_is_not_finite_is_one_clear_line():
    with pytest.raises(ZooError, match="set noise are not finite"):
        separation(np.ones(3), np.array([0.5, np.nan]), "noise")
