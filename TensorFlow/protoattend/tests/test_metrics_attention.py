"""Class weights and prototype counts equal the reference's."""

from __future__ import annotations

import numpy as np
import pytest
from proto_decisions import reference_arrays

from common.core.errors import ZooError
from protoattend.metrics.attention import class_weights, prototype_counts


def by_the_double_loop(weights: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The definition, one query and candidate at a time."""
    total = np.zeros((len(weights), classes))
    for query, row in enumerate(weights):
        for candidate, weight in enumerate(row):
            total[query, labels[candidate]] += weight
    return total


def test_class_weights_are_those_of_the_double_loop():
    random = np.random.RandomState(7)
    weights = random.dirichlet(np.full(50, 0.1), 20).astype(np.float32)
    labels = random.randint(0, 10, 50)
    found = class_weights(weights, labels, 10)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_the_double_loop(weights, labels, 10), atol=3e-7)


def test_classes_without_a_candidate_have_no_weight():
    found = class_weights(np.full((1, 2), 0.5, np.float32), np.array([1, 1]), 3)
    np.testing.assert_array_equal(found, [[0, 1, 0]])


def test_a_candidates_label_that_is_no_class_is_one_clear_line():
    with pytest.raises(ZooError, match="label 3 at row 1 of the candidates is outside 0..2"):
        class_weights(np.ones((1, 2), np.float32) / 2, np.array([0, 3]), 3)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_class_weights_and_confidence_of_the_reference(mode):
    stored = reference_arrays()
    found = class_weights(stored[mode + "_sparsemax_weights"], stored["cand_labels"], 10)
    np.testing.assert_allclose(found, stored[mode + "_class_explainability"], atol=2e-7)
    np.testing.assert_allclose(found.max(axis=1), stored[mode + "_confidence"], atol=2e-7)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_prototype_counts_of_the_reference(mode):
    stored = reference_arrays()
    found = prototype_counts(stored[mode + "_sparsemax_weights"])
    for column, share in enumerate(("0.5", "0.9", "0.95")):
        np.testing.assert_array_equal(found[:, column], stored[mode + "_num_proto_" + share])


def test_a_share_must_be_exceeded():
    found = prototype_counts(np.array([[0.25, 0.5, 0.25]], np.float32), shares=(0.5, 0.75))
    assert found.tolist() == [[2, 3]]


def test_one_candidate_that_has_all_the_weight_is_enough():
    assert prototype_counts(np.eye(3, dtype=np.float32)).tolist() == [[1, 1, 1]] * 3


def test_a_share_that_rounding_keeps_out_of_reach_counts_one_more_than_there_are():
    assert prototype_counts(np.array([[0.5, 0.44]]), shares=(0.95,)).tolist() == [[3]]
