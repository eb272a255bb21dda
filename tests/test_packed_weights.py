"""Weights in one file: what a checkpoint held comes back, and what is no such file is one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from common.core.errors import ZooError
from common.training.packed_weights import STATE
from common.training.tensorflow.packed_weights import PackedWeights
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.stored_weights import StoredWeights, find_weights

pytestmark = pytest.mark.tensorflow


def _packed(tmp_path, **arrays):
    path = tmp_path / "some.npz"
    state = json.dumps({"step": 7, "network": {"name": "x"}}).encode("utf-8")
    np.savez_compressed(path, **{STATE: np.frombuffer(state, np.uint8)}, **arrays)
    return str(path)


def test_arrays_and_state_come_back(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = find_weights(_packed(tmp_path, **{"layer/kernel": kernel}))
    assert (found.step, found.state["network"]) == (7, {"name": "x"})
    with tf.Graph().as_default(), tf.Session() as session:
        weight = tf.get_variable("w", shape=[2, 3], use_resource=True)
        key = "network/layer/kernel/.ATTRIBUTES/VARIABLE_VALUE"
        StoredWeights(found.prefix).load(session, {key: weight}, "advice")
        assert np.array_equal(session.run(weight), kernel)


def test_a_missing_or_damaged_file_is_one_line(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no more")
    for name in ("bad.npz", "none.npz"):
        with pytest.raises(ZooError, match="can't be read") as caught:
            find_weights(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_what_needs_pickle_is_refused(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, **{STATE: np.array([{"step": 1}], dtype=object)})
    with pytest.raises(ZooError, match="can't be read"):
        PackedWeights(str(path))
