"""Dumps of ProtoAttend's steps: named layer by layer, and training does not notice."""

from __future__ import annotations

import numpy as np
import pytest
from proto_runs import events, flags

from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump.reading import find_dump
from common.training.tensorflow.activations import recording
from common.training.tensorflow.runtime import tf
from protoattend.network.architecture import RESNET32, Architecture
from protoattend.network.layers import Convolution
from protoattend.network.prototype_network import PrototypeNetwork
from protoattend.train import main as train

pytestmark = pytest.mark.tensorflow
HEADS = ["representation_norm", "key", "query", "value", "value_norm"]


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    """A run of three steps that stored the second."""
    folder = tmp_path_factory.mktemp("run")
    assert train(flags(folder, 3, "--dump_tensors", "2")) == 0
    return folder


def weights(folder):
    reader = tf.train.load_checkpoint(str(folder / "ckpt/step_00000003/weights"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("network/")
    }


def activations(folder):
    return [entry.name for entry in find_dump(folder).index.tensors if entry.kind == "activation"]


def test_queries_come_before_candidates_and_attention_last(dumped):
    names = activations(dumped)
    for passed in ("queries", "candidates"):
        own = [name for name in names if name.startswith(passed)]
        assert own[:2] == [passed + "/standardised", passed + "/encoder/norm0"]
        assert [name.split("/")[1] for name in own if name.split("/")[1] in HEADS] == HEADS
    ends = [
        "queries/value_norm",
        "candidates/value_norm",
        "attention_logits",
        "attention_weights",
        "mixed_values",
        "classifier@1",
        "classifier@3",
    ]
    assert [names.index(name) for name in ends] == sorted(names.index(name) for name in ends)


def test_running_statistics_are_among_the_updated_weights(dumped):
    dump = find_dump(dumped)
    before = dump.inputs("weight before")["encoder/norm0/moving_mean"]
    after = next(dump.tensors([("weight", "encoder/norm0/moving_mean")]))
    assert not np.array_equal(before, after)


def test_a_run_with_a_dump_ends_with_the_weights_of_one_without(dumped, tmp_path):
    train(flags(tmp_path, 3))
    one, other = weights(dumped), weights(tmp_path)
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def test_another_seed_repeats_the_step_from_the_dump(dumped, tmp_path):
    train(flags(tmp_path, 3, "--random_seed", "7", "--dump_from", str(dumped)))
    outcome = compare_dumps(find_dump(dumped), find_dump(tmp_path))
    assert outcome.verdict == WITHIN
    assert [event["step"] for event in events(tmp_path, "step")] == [2, 3]


def test_fast_layers_have_the_names_of_plain_ones():
    found = []
    for fast in (False, True):
        with tf.Graph().as_default():
            network = PrototypeNetwork(
                Architecture(RESNET32, (28, 28, 1), 10, 32, 4, 8, "sparsemax"), fast
            )
            with recording(network, left_out=(Convolution,)) as names:
                network.encode(tf.zeros([2, 28, 28, 1]), True)
            found.append(list(names))
    assert found[0] == found[1]
    assert found[0][:4] == [
        "encoder/entry_norm",
        "encoder/stage0_block0/first_norm",
        "encoder/stage0_block0/second_norm",
        "encoder/stage0_block0",
    ]
