"""Decisions in batches of one shape: the same as all at once, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest

from common.data.labelled_images import LabelledImages
from common.training.tensorflow.initial_weights import draw_initial_weights
from common.training.tensorflow.runtime import tf
from protoattend import prototype_passes
from protoattend.network.architecture import SOFTMAX, SPARSEMAX, Architecture
from protoattend.network.attention import attention_logits, attention_weights
from protoattend.network.prototype_network import PrototypeNetwork, standardised
from protoattend.prototype_passes import PrototypePasses

pytestmark = pytest.mark.tensorflow
FIELDS = ("own_logits", "mixed_logits", "class_weights")


def _images(count, seed):
    draws = np.random.RandomState(seed)
    return LabelledImages(
        draws.randint(0, 256, (count, 12, 12, 1)).astype(np.uint8),
        draws.randint(0, 4, count).astype(np.int32),
    )


def _architecture(normalization=SPARSEMAX):
    return Architecture("small", (12, 12, 1), 4, normalization=normalization)


def _decisions(batch, normalization=SPARSEMAX, queries=19, candidates=23, scale=1.0):
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(_architecture(normalization))
        passes = PrototypePasses(network, candidates, batch, scale)
        session.run(tf.local_variables_initializer())
        draw_initial_weights(session, network, 5)
        passes.fill(session, _images(candidates, 1))
        return passes.decide(session, _images(queries, 2))


def _at_once(normalization):
    """The same decisions by the operations of training, in one piece."""
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(_architecture(normalization))
        queries, candidates = (
            network.encode(standardised(tf.constant(_images(*which).images)), False)
            for which in ((19, 2), (23, 1))
        )
        weights = attention_weights(
            attention_logits(queries.queries, candidates.keys), normalization
        )
        one_hot = tf.one_hot(_images(23, 1).labels, 4)
        draw_initial_weights(session, network, 5)
        return session.run(
            [
                network.classify(queries.values),
                network.classify(tf.matmul(weights, candidates.values)),
                tf.matmul(weights, one_hot),
                weights,
            ]
        )


def test_a_smaller_scale_lets_more_prototypes_decide():
    counts = [
        _decisions(19, scale=scale).prototype_counts[:, 2].mean() for scale in (0.25, 1.0, 8.0)
    ]
    assert counts[0] > counts[1] > counts[2]
    logits = [_decisions(19, scale=scale).familiarity[:, 0] for scale in (1.0, 8.0)]
    assert np.abs(logits[1] - 8 * logits[0]).max() < 1e-3


@pytest.mark.parametrize("normalization", [SPARSEMAX, SOFTMAX])
@pytest.mark.parametrize("batch", [7, 19, 64])
def test_batches_and_their_padding_change_nothing(batch, normalization):
    found, wanted = _decisions(batch, normalization), _at_once(normalization)
    assert len(found) == 19
    for name, value in zip(FIELDS, wanted):
        assert np.abs(getattr(found, name) - value).max() < 3e-5


@pytest.mark.parametrize("normalization", [SPARSEMAX, SOFTMAX])
def test_prototypes_are_the_heaviest_candidates(normalization):
    found, weights = _decisions(8, normalization), _at_once(normalization)[-1]
    for row in range(19):
        assert np.abs(np.sort(weights[row])[::-1][:8] - found.top_weights[row]).max() < 1e-6
        assert np.abs(weights[row][found.top_candidates[row]] - found.top_weights[row]).max() < 1e-6


@pytest.mark.parametrize("normalization", [SPARSEMAX, SOFTMAX])
def test_prototypes_are_counted_as_the_reference_counts_them(normalization):
    found, weights = _decisions(8, normalization), _at_once(normalization)[-1]
    reached = np.cumsum(np.sort(weights, axis=1)[:, ::-1], axis=1)
    for column, share in enumerate((0.5, 0.9, 0.95)):
        wanted = weights.shape[1] + 1 - (reached > share).sum(axis=1)
        assert np.array_equal(found.prototype_counts[:, column], wanted)


def test_decisions_with_more_prototypes_than_were_looked_at_are_made_again(monkeypatch):
    whole = _decisions(8)
    monkeypatch.setattr(prototype_passes, "LARGEST", 2)
    again = _decisions(8)
    assert whole.prototype_counts.max() > 2
    for name in FIELDS + ("prototype_counts", "top_candidates"):
        assert np.array_equal(getattr(whole, name), getattr(again, name))


def test_labels_stay_with_their_images():
    assert np.array_equal(_decisions(7).labels, _images(19, 2).labels)
