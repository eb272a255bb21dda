"""Scores that tell other sets apart: by hand, and their names in a report."""

from __future__ import annotations

import numpy as np
import pytest
from proto_decisions import decisions

from common.training.tensorflow.runtime import tf
from protoattend.metrics.familiarity import familiarity_scores, largest_softmax
from protoattend.metrics.report import CandidateSet, as_lines, as_metrics, make_report
from protoattend.prototype_passes import nearest_distance

KNOWN = decisions([0, 1, 2, 3], [0, 1, 2, 0], [0.9, 0.8, 0.7, 0.6])


def test_the_largest_softmax_is_the_classifiers():
    logits = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]) + 1000
    assert largest_softmax(logits) == pytest.approx([0.5, 0.8])


def test_every_score_has_its_figure_for_every_set_and_its_mean():
    scores = familiarity_scores(KNOWN)
    assert list(scores) == ["softmax", "largest_logit", "key_distance", "value_distance"]
    farther = {name: values - 1 for name, values in scores.items()}
    report = make_report(
        KNOWN, CandidateSet("x", 5, "0" * 64), {}, {"noise": farther, "digits": dict(scores)}
    )
    found = as_metrics(report)
    for name in scores:
        assert found[f"auroc_{name}_noise"] == 1
        assert found[f"auroc_{name}_digits"] == 0.5
        assert found[f"auroc_{name}_mean"] == 0.75
    assert any(line.startswith("AUROC by key distance") for line in as_lines(report))


@pytest.mark.tensorflow
def test_the_nearest_distance_is_euclidean():
    generator = np.random.RandomState(0)
    vectors, others = generator.standard_normal((5, 4)), generator.standard_normal((9, 4))
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(nearest_distance(tf.constant(vectors), tf.constant(others)))
    wanted = np.linalg.norm(vectors[:, None] - others[None], axis=-1).min(axis=1)
    assert np.abs(found - wanted).max() < 1e-9
