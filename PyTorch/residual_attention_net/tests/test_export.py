"""Exported networks: the same logits as the original's, or no file."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch
from training_helpers import saved, small_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from common.core.command_line import exit_code_of  # noqa: E402
from common.training.flags import FORMATS_OF_TORCH  # noqa: E402
from common.training.torch import exporting  # noqa: E402
from residual_attention_net import export  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
SMALL, DEFAULT = "small_16input", "92_32input_update"


def write_weights(folder, name=SMALL, **arguments):
    torch.manual_seed(0)
    network = build_network(name, **arguments).eval()
    # Statistics and weights as after training, so that folding batch norm away has effects.
    for module in network.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(0, 0.2)
    torch.save(network.state_dict(), str(folder / "w.pth"))
    return network


def run(folder, *flags, output="network", network=SMALL):
    words = ["--pth_path", folder / "w.pth", "--network", network, "--output_file", folder / output]
    return exit_code_of(export.main, [str(word) for word in [*words, *flags]])


def images_for(network, count):
    shape = (count,) + network.input_shape
    return np.random.RandomState(1).uniform(size=shape).astype(np.float32)


def assert_same_logits(network, path, kind, count):
    """What a user's program does with the file: arrays in, arrays out."""
    images = images_for(network, count)
    if kind == "onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = session.run(["logits"], {"images": images})[0]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            program = torch.jit.load(str(path))
        found = program(torch.from_numpy(images)).detach().numpy()
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "name, spatial_dims",
    [(SMALL, 2), (SMALL, 3), pytest.param(DEFAULT, 2, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", FORMATS_OF_TORCH)
def test_the_file_gives_the_networks_logits_at_any_batch_size(
    tmp_path, capfd, recwarn, kind, name, spatial_dims
):
    """And nothing but the difference and the file is told."""
    network = write_weights(tmp_path, name, spatial_dims=spatial_dims, num_classes=7)
    recwarn.clear()
    assert run(tmp_path, "--format", kind, network=name) == 0
    captured = capfd.readouterr()
    assert "off by" in captured.out and captured.err == ""
    assert [str(warning.message) for warning in recwarn] == []
    for count in (1, 2, 5):
        assert_same_logits(network, tmp_path / "network", kind, count)


def test_an_onnx_file_has_the_opset_and_the_batch_size_asked_for(tmp_path, opset=11):
    network = write_weights(tmp_path)
    assert run(tmp_path, "--format", "onnx", "--opset", opset, "--batch_size", "4") == 0
    assert_same_logits(network, tmp_path / "network", "onnx", 4)
    found = onnx.load(str(tmp_path / "network"))
    assert found.opset_import[0].version == opset
    shape = found.graph.input[0].type.tensor_type.shape
    assert [side.dim_value for side in shape.dim] == [4, 3, 16, 16]


def test_an_onnx_file_says_its_classes_and_how_images_are_prepared(tmp_path):
    network = small_network(num_classes=2)
    saved(tmp_path, network, classes=["飞机", "bird"]).rename(tmp_path / "w.pth")
    assert run(tmp_path, "--format", "onnx") == 0
    told = onnx.load(str(tmp_path / "network"))
    facts = {entry.key: entry.value for entry in told.metadata_props}
    assert json.loads(facts["classes"]) == ["飞机", "bird"] and "255" in facts["preprocessing"]


def test_a_file_that_differs_is_not_written_and_the_old_one_stays(tmp_path, monkeypatch, capsys):
    write_weights(tmp_path)
    other, honest = build_network(SMALL).eval(), exporting.as_torchscript
    monkeypatch.setattr(
        exporting,
        "as_torchscript",
        lambda exported: honest(dataclasses.replace(exported, network=other)),
    )
    (tmp_path / "network").write_bytes(b"old")
    assert run(tmp_path, "--format", "torchscript") == 1
    assert "nothing is written" in capsys.readouterr().err
    assert (tmp_path / "network").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network", "w.pth"]


@pytest.mark.parametrize(
    "flags, code, told",
    [
        (["--format", "onnx", "--opset", "99"], 64, "--opset"),
        (["--format", "onnx", "--opset", "7"], 64, "--opset"),
        (["--format", "onnx", "--batch_size", "many"], 64, "dynamic"),
        (["--format", "onnx", "--batch_size", "0"], 64, "dynamic"),
        ([], 64, "--format"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(tmp_path, capsys, flags, code, told):
    write_weights(tmp_path)
    before = (tmp_path / "w.pth").read_bytes()
    assert run(tmp_path, *flags) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line and not (tmp_path / "network").exists()
    assert run(tmp_path, "--format", "onnx", output="w.pth") == 64
    assert (tmp_path / "w.pth").read_bytes() == before
