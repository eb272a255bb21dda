"""What a training begins with, and how own and mixed values are joined: the reference's ways."""

from __future__ import annotations

import numpy as np
import pytest

from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.runtime import tf
from protoattend.building import _begin, attend
from protoattend.network.architecture import SMALL, Architecture
from protoattend.network.prototype_network import Encoded, PrototypeNetwork

pytestmark = pytest.mark.tensorflow


def _encoded(generator: np.random.RandomState, count: int) -> Encoded:
    keys, queries = (
        tf.constant(generator.uniform(0, 2, (count, 16)), tf.float32) for _ in range(2)
    )
    return Encoded(
        keys, queries, tf.constant(generator.standard_normal((count, 64)), tf.float32), []
    )


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_alpha_is_the_share_of_the_mixed_values_as_in_the_reference(share):
    generator = np.random.RandomState(0)
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(Architecture(encoder=SMALL))
        found = attend(network, _encoded(generator, 4), _encoded(generator, 9), share)
        session.run(tf.global_variables_initializer())
        values = session.run(found._asdict())
    # The classifier is linear and has no bias.
    expected = (1 - share) * values["own"] + share * values["mixed"]
    assert np.abs(values["joint"] - expected).max() < 1e-5
    assert np.abs(values["own"] - values["mixed"]).max() > 0.1


def test_queries_that_are_one_anothers_candidates_never_attend_to_themselves():
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(Architecture(encoder=SMALL))
        encoded = _encoded(np.random.RandomState(1), 6)
        same = encoded._replace(queries=encoded.keys)  # each is nearest to itself
        found = attend(network, same, same, 0.5, exclude_self=True)
        weights = session.run(found.weights)
    assert np.array_equal(np.diag(weights), np.zeros(6))
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6


def test_a_training_begins_with_he_normal_convolutions_and_glorot_heads():
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(Architecture())
        _begin(session, network, 1, None)
        values = session.run(named_weights(network))
    entry = values["encoder/entry/kernel"]
    assert entry.shape == (3, 3, 1, 16)
    assert 0.4 < entry.std() < 0.54  # sqrt(2 / 9) = 0.471; Glorot uniform would have 0.114
    for path, value in values.items():
        if value.ndim == 4:
            assert abs(value.std() / np.sqrt(2 / np.prod(value.shape[:3])) - 1) < 0.15, path
    head = values["representation/kernel"]
    assert np.abs(head).max() <= np.sqrt(6 / sum(head.shape))
