"""Weights packed in 16 bits: a checkpoint's come back; those in the tree give their figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training_helpers import saved  # noqa: E402

from common.core.files import sha256_of  # noqa: E402
from common.training.torch.weights_file import main as pack  # noqa: E402
from residual_attention_net import load  # noqa: E402
from residual_attention_net.data.datasets import load_dataset  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402

pytestmark = pytest.mark.pytorch
ROOT = Path(__file__).resolve().parents[3]
TOLD = json.loads((ROOT / "weights" / "index.json").read_text())["residual_attention_net.npz"]
ROUNDING = 0.03  # percent: three of 10,000 decisions are close enough to turn


def _record(run_id):
    path = ROOT / "results" / "residual_attention_net" / (run_id + ".json")
    return json.loads(path.read_text())


def test_the_kept_weights_are_those_of_the_record():
    assert sha256_of(ROOT / "weights" / "residual_attention_net.npz") == TOLD["sha256"]
    assert _record(TOLD["run_id"])["case"] == TOLD["case"]


@pytest.mark.long
def test_the_kept_weights_give_the_recorded_figure(zoo_data):
    images = load_dataset("cifar10", str(zoo_data("cifar-10-batches-py"))).test
    found = load()(images.images, 500).argmax(1) == images.labels
    recorded = _record(TOLD["evaluation"])["metrics"]["final"]["accuracy"]
    assert 100 * found.mean() == pytest.approx(recorded, abs=ROUNDING)


def test_packed_weights_are_the_checkpoints(tmp_path):
    torch.manual_seed(0)
    network = build_network("small_16input")
    names = [f"class {number}" for number in range(10)]
    packed = tmp_path / "some.npz"
    assert pack([str(saved(tmp_path, network, classes=names)), str(packed)]) == 0
    trained = load(str(packed))
    assert trained.classes == tuple(names) and trained.network.spec.name == "small_16input"
    here, there = network.state_dict(), trained.network.state_dict()
    for name, value in here.items():
        assert torch.allclose(there[name].to(value.dtype), value, rtol=2**-11, atol=1e-6), name
