"""The limits of a whole validation, and that one runs."""

from __future__ import annotations

import pytest

from benchmarks.protoattend.validation import STATED, Measured, as_text, exceeded, measure


def measured(**changed):
    values = {
        "candidates": 40.0,
        "decisions": 20.0,
        "metrics": 0.5,
        "confidence": 0.4,
        "prototypes": 3.0,
        "memory": 1.2e9,
    }
    return Measured(**dict(values, **changed))


def test_what_is_below_both_limits_exceeds_none():
    assert exceeded(measured(), *STATED) == []


def test_more_than_two_gigabytes_are_too_many():
    assert exceeded(measured(memory=2.1e9), *STATED) == ["memory: 2.10 GB, the limit is 2.0 GB"]


def test_confidence_has_half_a_second_for_all_decisions_and_less_for_fewer():
    assert len(exceeded(measured(confidence=0.51), *STATED)) == 1
    assert exceeded(measured(confidence=0.26), 5000, 32768) == [
        "confidence: 0.26 s, the limit is 0.25 s"
    ]


def test_no_time_is_set_for_more_decisions_than_stated():
    assert exceeded(measured(confidence=9.0), 20000, 32768) == []


def test_the_text_adds_up_the_parts():
    text = as_text(measured(), *STATED)
    assert "10,000 images, 32,768 candidates" in text
    assert "whole validation: 60.5 s (candidates 40.0, decisions 20.0, metrics 0.50)" in text


@pytest.mark.tensorflow
def test_a_small_validation_runs():
    pytest.importorskip("tensorflow")
    found = measure(images=20, candidates=128)
    assert found.total > 0 and found.confidence > 0 and 1 <= found.prototypes <= 128
