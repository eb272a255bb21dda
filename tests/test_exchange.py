"""Weights go from one framework to the other and back: one table, and readers of both files."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from common.core.errors import ZooError
from common.training.checkpoints import CheckpointFolder
from common.training.exchange import from_torch, keras_place, to_torch, torch_place
from common.training.stored_weights import StoredWeights, find_weights
from common.training.tensor_bundle import TensorBundle

SHAPES: Dict[str, Any] = {
    "encoder_cnn/layer_with_weights-1/kernel": (5, 5, 3, 8),
    "encoder_cnn/layer_with_weights-1/bias": (8,),
    "mlp/kernel": (4, 6),
    "norm/gamma": (4,),
    "norm/beta": (4,),
    "norm/moving_mean": (4,),
    "norm/moving_variance": (4,),
    "attention/gru/kernel": (2, 9),
    "attention/gru/recurrent_kernel": (3, 9),
    "attention/gru/bias": (2, 9),
    "attention/slots_mu": (1, 1, 3),
}


def weights() -> Dict[str, np.ndarray]:
    draws = np.random.RandomState(0)
    return {path: draws.standard_normal(shape).astype("f4") for path, shape in SHAPES.items()}


def test_the_table_goes_both_ways() -> None:
    given = weights()
    named = to_torch(given)
    assert {name: value.shape for name, value in named.items()} == {
        "encoder_cnn.1.weight": (8, 3, 5, 5),
        "encoder_cnn.1.bias": (8,),
        "mlp.weight": (6, 4),
        "norm.weight": (4,),
        "norm.bias": (4,),
        "norm.running_mean": (4,),
        "norm.running_var": (4,),
        "attention.gru.weight_ih": (9, 2),
        "attention.gru.weight_hh": (9, 3),
        "attention.gru.bias_ih": (9,),
        "attention.gru.bias_hh": (9,),
        "attention.slots_mu": (1, 1, 3),
    }
    back = from_torch(named)
    assert set(back) == set(given)
    assert all(np.array_equal(back[path], given[path]) for path in given)
    place = "mlp/layer_with_weights-0"
    assert keras_place(torch_place(place)) == place
    assert torch_place("mlp/layer-0") == "mlp.0"  # as TensorFlow 1.15 wrote it


@pytest.mark.pytorch
def test_a_checkpoint_of_torch_is_read_without_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from common.training.torch import weights_file

    network = torch.nn.Sequential(
        OrderedDict(mlp=torch.nn.Linear(4, 6), norm=torch.nn.LayerNorm(6))
    )

    def write(folder: Path) -> Dict[str, Any]:
        content = weights_file.pack(network, {}, optimizer={"state": {}, "lr": 0.1})
        weights_file.write(folder / weights_file.FILE, content)
        return {}

    folder = CheckpointFolder(tmp_path / "ckpt")
    folder.prepare()
    folder.save(3, {"best": {"step": 3}, "network": {"name": "toy"}}, write)
    found = find_weights(str(tmp_path))
    assert (found.step, found.network) == (3, {"name": "toy"})
    arrays = StoredWeights(found.prefix).arrays()
    assert set(arrays) == {"mlp/kernel", "mlp/bias", "norm/gamma", "norm/beta"}
    assert np.array_equal(arrays["mlp/kernel"], network.mlp.weight.detach().numpy().T)


@pytest.mark.pytorch
def test_a_file_that_names_code_is_refused_without_running_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"model": Path("x")}, str(tmp_path / "weights.pt"))
    with pytest.raises(ZooError, match="GLOBAL pathlib"):
        StoredWeights(str(tmp_path / "weights.pt"))


@pytest.mark.tensorflow
def test_a_bundle_is_what_tensorflow_reads(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    from common.training.tensorflow.runtime import tf

    given = {f"layer_{number:03d}/kernel": value for number, value in enumerate(weights().values())}
    given.update(steps=np.int64(7), many=np.arange(6, dtype=np.int32).reshape(2, 3))
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in given.items():
            tf.get_variable(name, initializer=tf.constant(value))
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "model"), write_meta_graph=False)
    bundle = TensorBundle(tmp_path / "model")
    assert set(bundle.shapes) == set(given)
    for name, value in given.items():
        assert bundle.get(name).dtype == value.dtype and np.array_equal(bundle.get(name), value)
    assert find_weights(str(tmp_path)).prefix == str(tmp_path / "model")
    data = tmp_path / "model.data-00000-of-00001"
    whole = bytearray(data.read_bytes())
    whole[0] ^= 1
    data.write_bytes(whole)
    first = {"layer_000/kernel": [5, 5, 3, 8]}
    with pytest.raises(ZooError, match="can't be read: .* is damaged where layer_000/kernel is"):
        StoredWeights(str(tmp_path / "model")).values(first, "")
    data.write_bytes(whole[:100])
    with pytest.raises(ZooError, match="can't be read: .* ends before"):
        StoredWeights(str(tmp_path / "model")).values({"many": [2, 3]}, "")
