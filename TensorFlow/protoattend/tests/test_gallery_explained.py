"""What follows from an explained decision, and in what words it is said."""

from __future__ import annotations

import pytest
from proto_explained import explained

from protoattend.gallery.explained import outcome, percent, wrong_first


@pytest.mark.parametrize(
    "label, right, words",
    [("cat", True, "right"), ("dog", False, "wrong, label dog"), (None, None, "label not known")],
)
def test_a_decision_is_right_wrong_or_of_unknown_outcome(label, right, words):
    decision = explained("cat", label, 0.5)
    assert decision.right is right
    assert outcome(decision) == words


def test_the_rest_is_the_weight_that_the_prototypes_leave():
    assert explained("cat", "cat", 1, prototypes=[("cat", 0.5), ("dog", 0.25)]).rest == 0.25
    assert explained("cat", "cat", 1, prototypes=[("cat", 1.000002)]).rest == 0


def test_wrong_decisions_come_first_the_surest_before_others():
    decisions = [
        explained("cat", label, confidence)
        for label, confidence in [
            ("cat", 0.9),
            ("dog", 0.3),
            (None, 0.8),
            ("cat", 0.2),
            ("dog", 0.7),
            (None, 0.1),
        ]
    ]
    found = [(one.right, one.confidence) for one in wrong_first(decisions)]
    assert found == [(False, 0.7), (False, 0.3), (None, 0.1), (None, 0.8), (True, 0.2), (True, 0.9)]


@pytest.mark.parametrize(
    "share, text",
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.334, "33 %"),
        (0.004, "0.4 %"),
        (0.0001, "< 0.1 %"),
        (0.997, "99.7 %"),
        (0.99999, "> 99.9 %"),
        (1.0000001, "100 %"),
    ],
)
def test_only_nothing_is_0_percent_and_only_all_is_100(share, text):
    assert percent(share) == text
