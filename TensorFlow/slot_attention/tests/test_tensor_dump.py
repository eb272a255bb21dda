"""Dumps of Slot Attention's steps: named layer by layer, and training does not notice."""

from __future__ import annotations

import numpy as np
import pytest
from slot_training_helpers import events, flags, make_scenes, make_sprites

from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump.reading import find_dump
from common.training.tensorflow.runtime import tf
from slot_attention.object_discovery import train as discovery_train
from slot_attention.set_prediction import train as prediction_train

pytestmark = pytest.mark.tensorflow
TRAIN = {"object_discovery": discovery_train.main, "set_prediction": prediction_train.main}
EXPECTED = {
    "object_discovery": [
        "encoder_cnn/0",
        "encoder_pos",
        "mlp/1",
        "slot_attention/initial",
        "slot_attention/attention@1",
        "slot_attention/slots@3",
        "decoder_pos",
        "decoder_cnn/0",
        "masks",
        "combined",
    ],
    "set_prediction": [
        "encoder_cnn/0",
        "encoder_pos",
        "mlp/1",
        "slot_attention/initial",
        "slot_attention/attention@1",
        "slot_attention/slots@3",
        "mlp_classifier/0",
        "predictions",
        "matching",
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return {
        "object_discovery": make_sprites(tmp_path_factory.mktemp("sprites")),
        "set_prediction": make_scenes(tmp_path_factory.mktemp("scenes")),
    }


@pytest.fixture(scope="module", params=list(TRAIN))
def dumped(request, data, tmp_path_factory):
    """A run of three steps that stored the second: (task, its folder)."""
    task, folder = request.param, tmp_path_factory.mktemp("run")
    assert TRAIN[task](flags(task, data[task], folder, 3, "--dump_tensors", "2")) == 0
    return task, folder


def weights(folder):
    reader = tf.train.load_checkpoint(str(folder / "ckpt/step_00000003/weights"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("network/")
    }


def test_layers_are_named_in_execution_order(dumped):
    task, folder = dumped
    names = [entry.name for entry in find_dump(folder).index.tensors if entry.kind == "activation"]
    places = [names.index(name) for name in EXPECTED[task] if name in names]
    assert len(places) >= len(EXPECTED[task]) - 1  # the last layer may be the prediction itself
    assert places == sorted(places)


def test_noise_batch_and_gradients_are_there(dumped):
    task, folder = dumped
    dump = find_dump(folder)
    assert dump.inputs("noise")["slots"].shape == (4, 3, 64)
    assert set(dump.inputs("batch")) == (
        {"image"} if task == "object_discovery" else {"image", "target"}
    )
    trained = [entry.name for entry in dump.index.tensors if entry.kind == "gradient"]
    kept = [entry.name for entry in dump.index.tensors if entry.kind == "weight"]
    assert trained == list(reversed(kept))


def test_a_run_with_a_dump_ends_with_the_weights_of_one_without(dumped, data, tmp_path):
    task, folder = dumped
    TRAIN[task](flags(task, data[task], tmp_path, 3))
    one, other = weights(folder), weights(tmp_path)
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def test_another_seed_repeats_the_step_from_the_dump(dumped, data, tmp_path):
    task, folder = dumped
    TRAIN[task](flags(task, data[task], tmp_path, 3, "--seed", "7", "--dump_from", str(folder)))
    outcome = compare_dumps(find_dump(folder), find_dump(tmp_path))
    assert outcome.verdict == WITHIN
    assert max(item.relative for item in outcome.differences) < 1e-6
    assert [event["step"] for event in events(tmp_path, "step")] == [2, 3]
