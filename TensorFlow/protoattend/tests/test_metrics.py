"""What decisions come to: accuracy, coverage, calibration, other sets, and the report of it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from proto_examples import decisions

from common.core.errors import ZooError
from protoattend.metrics.decisions import check_decisions, joined
from protoattend.metrics.measures import (
    BINS,
    THRESHOLDS,
    area_under_roc,
    calibration,
    coverage_curve,
    familiarity_scores,
    separation,
    summary,
)
from protoattend.metrics.report import CandidateSet, as_json, as_lines, as_metrics, make_report

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


def test_chunks_are_joined_in_their_order():
    whole = joined([decisions([3], [3], [0.5]), decisions([1, 2], [1, 0], [0.7, 0.8])])
    assert whole.labels.tolist() == [3, 1, 2] and whole.predicted.tolist() == [3, 1, 0]
    assert whole.top_candidates.shape == (3, 5)


def broken(name, value):
    values = getattr(FOUR, name).copy()
    values[(1, 2) if values.ndim > 1 else 2] = value
    return {name: values}


@pytest.mark.parametrize(
    "changed, message",
    [
        (broken("labels", -1), "label -1 at row 2"),
        (broken("labels", 4), "label 4 at row 2"),
        (broken("own_logits", np.nan), "own_logits of row 1 are not finite"),
        (broken("mixed_logits", np.inf), "mixed_logits of row 1 are not finite"),
        (broken("class_weights", np.nan), "class_weights of row 1 are not finite"),
        (broken("top_weights", np.nan), "top_weights of row 1 are not finite"),
        ({"class_weights": FOUR.class_weights * np.float32(1.2)}, "1.125"),
        ({"class_weights": FOUR.class_weights - np.float32(0.5)}, "reach from -0.5 to"),
    ],
)
def test_decisions_that_can_not_be_are_one_line_that_names_the_row(changed, message):
    with pytest.raises(ZooError) as error:
        check_decisions(dataclasses.replace(FOUR, **changed))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_rounding_passes_and_no_decisions_do_not():
    rounded = FOUR.class_weights * np.float32(1.0001)
    check_decisions(dataclasses.replace(FOUR, class_weights=rounded))
    with pytest.raises(ZooError, match="empty"):
        summary(decisions([], [], []))


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
        (np.repeat([0.25, 0.75], 4), [1, 0, 0, 0, 1, 1, 1, 0], 0),
        ([0.9, 0.9, 0.9, 0.3], [1, 1, 0, 1], 3 / 4 * (0.9 - 2 / 3) + 1 / 4 * (1 - 0.3)),
        ([1.000002], [1], 0),  # rounding brought it above 1
        ([0.0] * 4, [1, 1, 1, 0], 0.75),
    ],
)
def test_calibration_error_is_weighted_by_the_decisions_in_a_bin(confidence, right, error):
    found = calibration(np.array(confidence, np.float32), np.array(right, bool)).error
    assert found == pytest.approx(error, abs=1e-7)


def test_calibration_is_that_of_the_definition_on_random_decisions():
    random = np.random.RandomState(3)
    confidence = random.rand(1000)
    right = random.rand(1000) < confidence**2
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    found = calibration(confidence, right)
    assert found.error == pytest.approx(expected, abs=1e-12)
    assert len(found.bins) == BINS and (found.bins[0].low, found.bins[-1].high) == (0, 1)
    one = calibration(np.array([0.5]), np.array([True]), bins=2)
    assert [(entry.n, entry.accuracy) for entry in one.bins] == [(1, 1), (0, None)]


@pytest.mark.parametrize(
    "inside, outside, auroc, passing",
    [
        ([0.8, 0.9, 1.0], [0.1, 0.7], 1, 0),
        ([0.1, 0.2], [0.3, 0.4], 0, 1),
        ([1.0] * 7, [1.0] * 3, 0.5, 1),
        ([0.5, 0.9], [0.5, 0.1], 3.5 / 4, 0.5),  # ties count half
        (np.arange(20) / 20, [0.0, 0.04, 0.05, 0.5], (2 * 19.5 + 18.5 + 9.5 + 0) / 80, 0.5),
    ],
)
def test_other_sets_are_told_apart(inside, outside, auroc, passing):
    found = separation(np.array(inside), np.array(outside), "noise")
    assert found.false_positive_rate == passing and found.n == len(outside)
    if len(inside) < 20:
        assert found.auroc == auroc
    assert found.confidence_mean == pytest.approx(np.mean(outside), abs=1e-12)


@pytest.mark.parametrize("places", [1, 8])
def test_separation_is_that_of_scikit_learn(places):
    metrics = pytest.importorskip("sklearn.metrics", reason="compared with scikit-learn")
    random = np.random.RandomState(5)
    inside = np.round(random.beta(5, 1, 1000), places)
    outside = np.round(random.beta(2, 2, 700), places)
    true, values = np.repeat([1, 0], [1000, 700]), np.concatenate([inside, outside])
    found = separation(inside, outside, "other")
    assert found.auroc == pytest.approx(metrics.roc_auc_score(true, values), abs=1e-12)
    false_rate, true_rate, _ = metrics.roc_curve(true, values, drop_intermediate=False)
    wanted = false_rate[true_rate >= 0.95].min()
    assert found.false_positive_rate == pytest.approx(wanted, abs=1e-12)


def test_sets_that_can_not_be_compared_are_one_clear_line():
    with pytest.raises(ZooError, match="set digits is empty"):
        separation(np.ones(3), np.ones(0), "digits")
    with pytest.raises(ZooError, match="set noise are not finite"):
        separation(np.ones(3), np.array([0.5, np.nan]), "noise")


def test_familiarity_has_the_classifiers_softmax_and_the_attentions_scores():
    logits = np.log([[0.5, 0.3, 0.2, 1e-9], [0.1, 0.1, 0.8, 1e-9]]) + 1000
    found = familiarity_scores(dataclasses.replace(ALL_RIGHT, own_logits=logits))
    assert list(found) == ["softmax", "largest_logit", "key_distance", "value_distance"]
    assert found["softmax"] == pytest.approx([0.5, 0.8])
    assert found["value_distance"].tolist() == [-3, -3]


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
def test_json_has_no_nan_and_names_its_candidates(some, others):
    found = as_json(make_report(some, CANDIDATES, others))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["n"] == len(some)
    assert found["candidates"] == dataclasses.asdict(CANDIDATES)
    assert set(found) == {
        *("schema_version", "n", "candidates", "reference_denominators", "summary"),
        *("coverage", "calibration", "others", "by_score"),
    }


def test_what_does_not_exist_is_left_out():
    report = make_report(ALL_RIGHT, CANDIDATES)
    assert {"confidence_wrong", "accuracy_at_0_9"} & set(as_metrics(report)) == set()
    assert "confidence_wrong" not in as_json(report)["summary"]
    assert "0.00 % decided, none of them right" in "\n".join(as_lines(report))


def test_lines_tell_the_metrics():
    text = "\n".join(as_lines(make_report(FOUR, CANDIDATES, {"noise": NOISE})))
    for words in (
        "4 images, 1,024 candidates of fashion_mnist (sha256 0123456789ab)",
        "75.00 % by prototypes, 25.00 % by the encoder alone",
        "1 for 50 %, 2 for 90 %, 3 for 95 %",
        "confidence > 0.9         25.00 % decided, 100.00 % of them right",
        "against noise            AUROC 0.8333",
        "AUROC by key distance",
    ):
        assert words in text
    assert "divided by all" not in text
    report = make_report(FOUR, CANDIDATES, reference_denominators=True)
    assert "divided by all" in "\n".join(as_lines(report))
    assert as_json(report)["reference_denominators"] is True


def test_area_under_roc_is_its_definition():
    random = np.random.RandomState(0)
    inside, outside = random.randint(0, 9, 30), random.randint(0, 7, 20)
    pairs = (inside[:, None] > outside).mean() + (inside[:, None] == outside).mean() / 2
    assert area_under_roc(inside, outside) == pytest.approx(pairs, abs=1e-12)
