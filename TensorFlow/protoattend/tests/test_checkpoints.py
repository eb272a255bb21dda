"""Weights from checkpoints: names, other models, other sizes, damage."""

from __future__ import annotations

import pytest
from proto_fixtures import unpack_checkpoint

from common.core.errors import ZooError
from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.stored_weights import find_weights
from protoattend.network.architecture import Architecture, architecture_from
from protoattend.network.checkpoints import load_encoder, load_weights, reference_name
from protoattend.network.prototype_network import PrototypeNetwork

pytestmark = pytest.mark.tensorflow


def _load(prefix, architecture=None, load=load_weights):
    with tf.Graph().as_default(), tf.Session() as session:
        load(session, PrototypeNetwork(architecture or Architecture()), find_weights(str(prefix)))


@pytest.mark.parametrize(
    "path, name",
    [
        ("encoder/entry/kernel", "CNN_encoder/resnetblock1/conv2d/kernel"),
        ("encoder/stage1_block0/shortcut/kernel", "CNN_encoder/resnetblock410/conv2d/kernel"),
        (
            "encoder/stage2_block4/second_norm/gamma",
            "CNN_encoder/resnetblock324/batch_normalization/gamma",
        ),
        ("query/bias", "CNN_encoder/dense_2/bias"),
        ("classifier/kernel", "Classify/dense/kernel"),
    ],
)
def test_every_weight_has_the_references_name(path, name):
    assert reference_name(path) == name


def test_a_weight_that_the_reference_lacks_has_no_name_there():
    assert reference_name("encoder/convolution1/kernel") is None


def test_described_networks_are_had_again():
    architecture = Architecture("small", (12, 14, 3), 7, 99, 5, 6, "softmax")
    assert architecture_from(architecture.described()) == architecture


def test_the_encoder_alone_is_loaded_into_a_network_of_other_classes(tmp_path):
    _load(unpack_checkpoint(tmp_path), Architecture(classes=3), load_encoder)


@pytest.mark.parametrize(
    "architecture",
    [Architecture(classes=3), Architecture(attention_dim=8), Architecture(encoder="small")],
)
def test_a_network_of_another_size_is_one_clear_line(tmp_path, architecture):
    with pytest.raises(ZooError, match="give the flags it was trained with"):
        _load(unpack_checkpoint(tmp_path), architecture)


def test_another_models_checkpoint_is_one_clear_line(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("weight", [2])
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "other"))
    with pytest.raises(ZooError, match="holds no ProtoAttend network"):
        _load(tmp_path / "other")


def test_a_truncated_checkpoint_is_one_clear_line(tmp_path):
    prefix = unpack_checkpoint(tmp_path)
    data = next(prefix.parent.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ZooError, match="can't be read"):
        _load(prefix)


def test_all_weights_are_reached_by_their_paths():
    with tf.Graph().as_default():
        network = PrototypeNetwork(Architecture())
        assert len(named_weights(network)) == len(network.weights) == 170
