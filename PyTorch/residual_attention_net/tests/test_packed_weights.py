"""Weights packed in 16 bits: a checkpoint's name, classes and values come back."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training_helpers import saved  # noqa: E402

from common.core.errors import ZooError  # noqa: E402
from common.training.torch.weights_file import main as pack  # noqa: E402
from residual_attention_net import load  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402

pytestmark = pytest.mark.pytorch


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


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(ZooError, match=r"bad\.npz can't be read"):
        load(str(tmp_path / "bad.npz"))
