"""What decisions come to: accuracy, coverage, calibration, other sets, and the report of it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from proto_examples import decisions

from common.core.errors import ZooError
from protoattend.metrics.measures import (
    THRESHOLDS,
    calibration,
    coverage_curve,
    separation,
    summary,
)
from protoattend.metrics.report import CandidateSet, as_json, as_metrics, make_report

FOUR = decisions([0, 1, 2, 3], [0, 1, 2, 0], [0.9375, 0.75, 0.5, 0.25])
ALL_RIGHT = decisions([0, 1], [0, 1], [0.75, 0.5])
CANDIDATES = CandidateSet("fashion_mnist", 1024, "0123456789abcdef" * 4)
NOISE = decisions([0, 0, 0], [0, 0, 0], [0.125, 0.25, 0.5])


# Decisions


def test_confidence_is_the_weight_of_the_predicted_class_even_where_another_has_more():
    logits = np.array([[1, 0], [1, 0]], np.float32)
    weights = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    two = decisions([0, 1], [0, 0], [1, 1], classes=2)
    two = dataclasses.replace(two, mixed_logits=logits, class_weights=weights)
    np.testing.assert_array_equal(two.confidence, np.array([0.2, 0.6], np.float32))
    assert two.right.tolist() == [True, False]


@pytest.mark.parametrize("name", ["own_logits", "mixed_logits", "class_weights", "familiarity"])
def test_decisions_that_are_no_numbers_are_one_line_that_names_the_row(name):
    values = getattr(FOUR, name).copy()
    values[1, 2] = np.nan
    broken = dataclasses.replace(FOUR, **{name: values})
    for given, told in (((broken, CANDIDATES), "images"), ((FOUR, CANDIDATES, {"x": broken}), "x")):
        with pytest.raises(ZooError, match=f"{name} of row 1 of .*{told} are not finite") as error:
            make_report(*given)
        assert "\n" not in str(error.value)


# Measures


def test_a_summary_of_right_and_wrong_decisions():
    found = summary(FOUR)
    assert (found.n, found.n_wrong, found.accuracy, found.encoder_accuracy) == (4, 1, 0.75, 0.25)
    assert found.confidence_mean == pytest.approx(2.4375 / 4, abs=1e-12)
    assert found.confidence_right == pytest.approx(2.1875 / 3, abs=1e-12)
    assert found.confidence_wrong == 0.25
    found = summary(FOUR, reference_denominators=True)  # both over all, as the reference
    assert (found.confidence_right, found.confidence_wrong) == (2.1875 / 4, 0.0625)
    assert summary(ALL_RIGHT).confidence_wrong is None
    counts = [(1, 2, 2), (1, 4, 9), (3, 30, 40)]
    found = summary(decisions([0, 0, 0], [0, 0, 0], [1, 1, 1], counts=counts))
    assert found.prototypes == {0.5: 1, 0.9: 4, 0.95: 9}


def test_coverage_counts_what_is_above_a_threshold():
    points = coverage_curve(FOUR.confidence, FOUR.right, (0.1, 0.3, 0.5, 0.999))
    assert [point.coverage for point in points] == [1, 0.75, 0.5, 0]
    assert [point.accuracy for point in points] == [0.75, 1, 1, None]
    assert [point.n for point in points] == [4, 3, 2, 0]
    (point,) = coverage_curve(np.full(3, 0.9, np.float32), np.ones(3, bool), (0.9,))
    assert point.n == 0  # at the threshold in float32
    assert {0.5, 0.8, 0.9, 0.95, 0.99, 0.999} <= set(THRESHOLDS)


@pytest.mark.parametrize(
    "confidence, right, error",
    [
        ([0.9, 0.9, 0.9, 0.3], [1, 1, 0, 1], 3 / 4 * (0.9 - 2 / 3) + 1 / 4 * (1 - 0.3)),
        ([1.000002], [1], 0),  # rounding brought it above 1
        ([0.0] * 4, [1, 1, 1, 0], 0.75),
    ],
)
def test_calibration_error_is_weighted_by_the_decisions_in_a_bin(confidence, right, error):
    found = calibration(np.array(confidence, np.float32), np.array(right, bool))
    assert found.error == pytest.approx(error, abs=1e-7)
    assert len(found.bins) == 15 and (found.bins[0].low, found.bins[-1].high) == (0, 1)
    empty = [entry for entry in found.bins if not entry.n]
    assert {(entry.accuracy, entry.confidence) for entry in empty} == {(None, None)}


@pytest.mark.parametrize("places", [1, 8])
def test_separation_is_that_of_scikit_learn(places):
    metrics = pytest.importorskip("sklearn.metrics", reason="compared with scikit-learn")
    random = np.random.RandomState(5)
    inside = np.round(random.beta(5, 1, 1000), places)
    outside = np.round(random.beta(2, 2, 700), places)
    true, values = np.repeat([1, 0], [1000, 700]), np.concatenate([inside, outside])
    found = separation(inside, outside)
    assert found.auroc == pytest.approx(metrics.roc_auc_score(true, values), abs=1e-12)
    false_rate, true_rate, _ = metrics.roc_curve(true, values, drop_intermediate=False)
    wanted = false_rate[true_rate >= 0.95].min()
    assert found.false_positive_rate == pytest.approx(wanted, abs=1e-12)


# The report


def test_figures_of_the_record_have_stable_names_and_values():
    found = as_metrics(make_report(FOUR, CANDIDATES, {"noise": NOISE}))
    wanted = {"accuracy": 0.75, "encoder_accuracy": 0.25, "coverage_at_0_9": 0.25}
    wanted.update(prototypes_50=1, prototypes_90=2, prototypes_95=3, accuracy_at_0_9=1)
    wanted.update(auroc_noise=(3 + 3 + 2.5 + 1.5) / 12, auroc_mean=(3 + 3 + 2.5 + 1.5) / 12)
    wanted.update(auroc_softmax_noise=0.5, auroc_key_distance_mean=0.5)
    assert {name: found[name] for name in wanted} == wanted
    scores = ("softmax", "largest_logit", "key_distance", "value_distance")
    names = {f"auroc_{score}_{end}" for score in scores for end in ("noise", "mean")}
    names |= {"confidence_mean", "confidence_right", "confidence_wrong", "ece", "fpr95_noise"}
    assert set(found) == set(wanted) | names
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize("some, others", [(FOUR, {"noise": NOISE}), (ALL_RIGHT, {})])
def test_json_names_its_candidates_and_leaves_out_what_does_not_exist(some, others):
    report = make_report(some, CANDIDATES, others)
    found = as_json(report)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["n"] == len(some)
    assert found["candidates"] == dataclasses.asdict(CANDIDATES)
    assert set(found) == {
        *("schema_version", "n", "candidates", "reference_denominators", "summary"),
        *("coverage", "calibration", "others", "by_score"),
    }
    has_wrong = some is FOUR
    assert ("confidence_wrong" in found["summary"]) == has_wrong
    assert ("accuracy_at_0_9" in as_metrics(report)) == has_wrong
