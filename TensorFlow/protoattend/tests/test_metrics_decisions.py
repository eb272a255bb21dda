"""Decisions: what follows from their arrays, chunks put together, arrays that can't be right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from proto_decisions import decisions

from common.core.errors import ZooError
from protoattend.metrics.decisions import check_decisions, joined

FOUR = decisions([0, 1, 2, 3], [0, 1, 2, 0], [0.9, 0.8, 0.7, 0.6])


def changed(**arrays):
    return dataclasses.replace(FOUR, **arrays)


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_confidence_is_the_weight_of_the_predicted_class_even_where_another_has_more():
    weights = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    logits = np.array([[1, 0], [1, 0]], np.float32)
    two = dataclasses.replace(
        decisions([0, 0], [0, 0], [1, 1]), mixed_logits=logits, class_weights=weights
    )
    np.testing.assert_array_equal(two.confidence, np.array([0.2, 0.6], np.float32))


def test_a_decision_is_right_where_the_mix_says_the_label():
    assert FOUR.predicted.tolist() == [0, 1, 2, 0]
    assert FOUR.right.tolist() == [True, True, True, False]


def test_chunks_are_joined_in_their_order():
    first, second = decisions([3], [3], [0.5]), decisions([1, 2], [1, 0], [0.7, 0.8])
    whole = joined([first, second])
    assert whole.labels.tolist() == [3, 1, 2]
    assert whole.predicted.tolist() == [3, 1, 0]
    np.testing.assert_array_equal(whole.confidence, np.array([0.5, 0.7, 0.8], np.float32))
    assert whole.top_candidates.shape == (3, 5)


def test_no_chunks_are_one_clear_line():
    with pytest.raises(ZooError) as error:
        joined([])
    assert "empty" in one_line(error)


def test_sound_decisions_pass():
    check_decisions(FOUR)


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_is_no_class_is_named_with_its_row(label):
    with pytest.raises(ZooError) as error:
        check_decisions(changed(labels=np.array([0, 1, label, 3])))
    assert f"label {label} at row 2" in one_line(error)


@pytest.mark.parametrize("name", ["own_logits", "mixed_logits", "class_weights", "top_weights"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_row(name, value):
    broken = getattr(FOUR, name).copy()
    broken[1, 2] = value
    with pytest.raises(ZooError) as error:
        check_decisions(changed(**{name: broken}))
    assert one_line(error).startswith(f"{name} of row 1 are not finite")


def test_weights_beyond_rounding_are_refused_and_rounding_is_not():
    check_decisions(changed(class_weights=FOUR.class_weights * np.float32(1.0001)))
    with pytest.raises(ZooError) as error:
        check_decisions(changed(class_weights=FOUR.class_weights * np.float32(1.2)))
    assert "1.08" in one_line(error)
    with pytest.raises(ZooError, match="reach from -0.5 to"):
        check_decisions(changed(class_weights=FOUR.class_weights - np.float32(0.5)))
