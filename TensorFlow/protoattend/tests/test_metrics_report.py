"""The report: JSON without nan, stable names, lines for people."""

from __future__ import annotations

import json

import numpy as np
import pytest
from proto_decisions import decisions

from protoattend.metrics.report import CandidateSet, as_json, as_lines, as_metrics, make_report

CANDIDATES = CandidateSet("fashion_mnist", 1024, "0123456789abcdef" * 4)
FOUR = decisions([0, 1, 2, 3], [0, 1, 2, 0], [0.9375, 0.75, 0.5, 0.25])
ALL_RIGHT = decisions([0, 1], [0, 1], [0.75, 0.5])
REPORT = make_report(FOUR, CANDIDATES, {"noise": np.array([0.125, 0.25, 0.5])})


def test_figures_of_the_record_have_stable_names():
    assert set(as_metrics(REPORT)) == {
        "accuracy",
        "encoder_accuracy",
        "prototypes_50",
        "prototypes_90",
        "prototypes_95",
        "confidence_mean",
        "confidence_right",
        "confidence_wrong",
        "ece",
        "coverage_at_0_9",
        "accuracy_at_0_9",
        "auroc_noise",
        "auroc_mean",
        "fpr95_noise",
    }


def test_figures_of_the_record_are_the_metrics():
    found = as_metrics(REPORT)
    assert found["accuracy"] == 0.75
    assert found["prototypes_90"] == 2
    assert (found["coverage_at_0_9"], found["accuracy_at_0_9"]) == (0.25, 1)
    assert found["auroc_noise"] == (3 + 3 + 2.5 + 1.5) / 12
    assert all(type(value) is float for value in found.values())


def test_what_does_not_exist_is_left_out():
    report = make_report(ALL_RIGHT, CANDIDATES)
    assert {"confidence_wrong", "accuracy_at_0_9"} & set(as_metrics(report)) == set()
    assert as_metrics(report)["coverage_at_0_9"] == 0
    assert "confidence_wrong" not in as_json(report)["summary"]
    assert as_json(report)["summary"]["n_wrong"] == 0


@pytest.mark.parametrize("some", [FOUR, ALL_RIGHT])
def test_json_has_no_nan_and_comes_back_as_it_was(some):
    found = as_json(make_report(some, CANDIDATES, {"noise": np.full(3, 0.5)}))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_json_names_the_candidates_and_counts_the_images():
    found = as_json(REPORT)
    assert found["n"] == 4
    assert found["candidates"] == {
        "dataset": "fashion_mnist",
        "count": 1024,
        "sha256": CANDIDATES.sha256,
    }
    assert sorted(found) == [
        "by_score",
        "calibration",
        "candidates",
        "coverage",
        "n",
        "others",
        "reference_denominators",
        "schema_version",
        "summary",
    ]


def test_denominators_of_the_reference_are_told():
    report = make_report(FOUR, CANDIDATES, reference_denominators=True)
    assert as_json(report)["reference_denominators"] is True
    assert report.summary.confidence_wrong == 0.0625
    assert any("divided by all" in line for line in as_lines(report))
    assert not any("divided by all" in line for line in as_lines(REPORT))


def test_lines_tell_the_metrics():
    text = "\n".join(as_lines(REPORT))
    assert "4 images, 1,024 candidates of fashion_mnist (sha256 0123456789ab)" in text
    assert "75.00 % by prototypes, 25.00 % by the encoder alone" in text
    assert "1 for 50 %, 2 for 90 %, 3 for 95 %" in text
    assert "confidence > 0.9         25.00 % decided, 100.00 % of them right" in text
    assert "against noise            AUROC 0.8333" in text


def test_lines_say_none_where_nothing_is_decided():
    assert "0.00 % decided, none of them right" in "\n".join(
        as_lines(make_report(ALL_RIGHT, CANDIDATES))
    )
