"""Weights from checkpoints: the reference's format, the wrong task, damage."""

from __future__ import annotations

import numpy as np
import pytest
from fixture_arrays import arrays_of, sampled, unpack_checkpoint

from common.core.errors import ZooError
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.stored_weights import find_weights
from slot_attention.network.architecture import ARCHITECTURES, SlotSettings
from slot_attention.network.autoencoder import SlotAttentionAutoEncoder
from slot_attention.network.checkpoints import load_weights
from slot_attention.network.set_predictor import SlotAttentionClassifier

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def discovery(tmp_path_factory):
    return unpack_checkpoint("object_discovery", tmp_path_factory.mktemp("discovery"))


@pytest.fixture(scope="module")
def prediction(tmp_path_factory):
    return unpack_checkpoint("set_prediction", tmp_path_factory.mktemp("prediction"))


def _loaded_output(folder, network, task):
    stored = arrays_of(folder / "outputs_public.npz")
    with tf.Graph().as_default(), tf.Session() as session:
        built = network()
        found = built(tf.constant(stored["image"]), tf.constant(stored["noise"]))
        load_weights(session, built, find_weights(str(folder)), task)
        return stored, session.run(found)


def _autoencoder():
    return SlotAttentionAutoEncoder(ARCHITECTURES["clevr"], SlotSettings())


def _classifier():
    return SlotAttentionClassifier(128, SlotSettings(count=10))


def test_a_published_autoencoder_gives_what_it_gave_the_reference(discovery):
    stored, found = _loaded_output(discovery, _autoencoder, "object_discovery")
    assert np.abs(found.slots - stored["slots"]).max() < 1.5e-5
    assert np.abs(sampled(found.masks) - stored["masks"]).max() < 4.8e-6
    assert np.abs(sampled(found.combined) - stored["recon_combined"]).max() < 3e-6


def test_a_published_classifier_gives_what_it_gave_the_reference(prediction):
    stored, found = _loaded_output(prediction, _classifier, "set_prediction")
    assert np.abs(found.predictions - stored["predictions"]).max() < 1.2e-6


def test_a_checkpoint_is_found_by_folder_prefix_and_index_file(prediction):
    prefix = str(prediction / "ckpt-1")
    for path in (str(prediction), prefix, prefix + ".index"):
        assert find_weights(path).prefix.endswith("ckpt-1")


def test_a_checkpoint_of_the_other_task_is_one_clear_line(prediction):
    with pytest.raises(ZooError, match="is of set_prediction, not of object_discovery"):
        _load(prediction, _autoencoder_built, "object_discovery")


def test_a_network_of_another_size_is_one_clear_line(prediction):
    def small():
        network = SlotAttentionClassifier(32, SlotSettings(count=3, size=32))
        network(tf.zeros([1, 32, 32, 3]), tf.zeros([1, 3, 32]))
        return network

    with pytest.raises(ZooError, match="give the flags it was trained with"):
        _load(prediction, small, "set_prediction")


def test_a_truncated_checkpoint_is_one_clear_line(prediction, tmp_path):
    for path in prediction.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = tmp_path / "ckpt-1.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ZooError, match="can't be read"):
        _load(tmp_path, _classifier_built, "set_prediction")


def test_a_folder_without_checkpoint_is_one_clear_line(tmp_path):
    with pytest.raises(ZooError):
        find_weights(str(tmp_path))


def _load(folder, build, task):
    with tf.Graph().as_default(), tf.Session() as session:
        load_weights(session, build(), find_weights(str(folder)), task)


def _autoencoder_built():
    network = SlotAttentionAutoEncoder(ARCHITECTURES["small"], SlotSettings())
    network(tf.zeros([1, 32, 32, 3]), tf.zeros([1, 7, 64]))
    return network


def _classifier_built():
    network = _classifier()
    network(tf.zeros([1, 128, 128, 3]), tf.zeros([1, 10, 64]))
    return network
