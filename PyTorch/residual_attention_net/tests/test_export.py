"""Exported networks: the same logits as the original's, or no file."""

from __future__ import annotations

import io
import json
import sys
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from common.core.command_line import exit_code_of  # noqa: E402
from common.core.errors import ZooError  # noqa: E402
from residual_attention_net import export  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
SMALL = "small_16input"


def write_weights(path, name=SMALL, **arguments):
    torch.manual_seed(0)
    network = build_network(name, **arguments).eval()
    # Statistics and weights as after training, so that folding batch norm away has effects.
    for module in network.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(0, 0.2)
    torch.save(network.state_dict(), str(path))
    return network


def run(weights, output, *flags, network=SMALL):
    return exit_code_of(
        export.main,
        ["--pth_path", str(weights), "--network", network, "--output_file", str(output)]
        + list(flags),
    )


def read(path, kind):
    """What a user's program does with the file: arrays in, arrays out."""
    if kind == "onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda images: session.run(["logits"], {"images": images})[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.jit.load(str(path))
    return lambda images: program(torch.from_numpy(images)).detach().numpy()


def images_for(network, count):
    shape = (count,) + network.input_shape
    return np.random.RandomState(1).uniform(size=shape).astype(np.float32)


def assert_same_logits(network, program, count):
    images = images_for(network, count)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(program(images), expected, atol=1e-4)


@pytest.mark.parametrize("kind", export.FORMATS)
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_file_gives_the_networks_logits_at_any_batch_size(
    tmp_path, capfd, recwarn, kind, spatial_dims
):
    network = write_weights(tmp_path / "w.pth", spatial_dims=spatial_dims, num_classes=7)
    recwarn.clear()
    assert run(tmp_path / "w.pth", tmp_path / "network", "--format", kind) == 0
    captured = capfd.readouterr()
    assert "largest difference" in captured.out and captured.err == ""
    assert [str(warning.message) for warning in recwarn] == []
    for count in (1, 2, 5):
        assert_same_logits(network, read(tmp_path / "network", kind), count)


def test_an_onnx_file_has_the_batch_size_and_opset_asked_for(tmp_path):
    network = write_weights(tmp_path / "w.pth")
    flags = ["--format", "onnx", "--batch_size", "4", "--opset", "11"]
    assert run(tmp_path / "w.pth", tmp_path / "n.onnx", *flags) == 0
    assert_same_logits(network, read(tmp_path / "n.onnx", "onnx"), 4)
    written = onnx.load(str(tmp_path / "n.onnx"))
    shape = written.graph.input[0].type.tensor_type.shape
    assert [side.dim_value for side in shape.dim] == [4, 3, 16, 16]
    assert written.opset_import[0].version == 11


def test_an_onnx_file_says_its_classes_and_how_images_are_prepared():
    network = build_network(SMALL).eval()
    content = export.as_onnx(network, torch.zeros(1, 3, 16, 16), dynamic=False)
    told = onnx.load_model_from_string(export.described(content, ("飞机", "bird")))
    facts = {entry.key: entry.value for entry in told.metadata_props}
    assert json.loads(facts["classes"]) == ["飞机", "bird"] and "255" in facts["preprocessing"]


def test_a_file_that_differs_is_not_written_and_the_old_one_stays(tmp_path, monkeypatch, capsys):
    write_weights(tmp_path / "w.pth")
    other = build_network(SMALL).eval()
    honest = export.as_torchscript
    monkeypatch.setattr(export, "as_torchscript", lambda _, example: honest(other, example))
    output = tmp_path / "n.pt"
    output.write_bytes(b"old")
    assert run(tmp_path / "w.pth", output, "--format", "torchscript") == 1
    assert "nothing was written" in capsys.readouterr().err
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.pt", "w.pth"]


@pytest.mark.parametrize("wrong", [2e-4, float("nan")])
def test_a_difference_in_a_later_batch_is_found(wrong):
    network = build_network(SMALL).eval()
    batches = [images_for(network, 1), images_for(network, 2)]

    def program(images):
        logits = network(torch.from_numpy(images)).detach().numpy()
        return logits + (wrong if len(images) == 2 else 0)

    assert not export.compare(network, program, batches).within(export.TOLERANCE)
    assert not export.compare(network, program, batches[::-1]).within(export.TOLERANCE)
    assert export.compare(network, program, batches[:1]).within(export.TOLERANCE)


def test_the_tolerance_grows_with_logits_above_one():
    for largest, scale, expected in (
        (1e-4, 0.1, True),
        (1.1e-4, 0.1, False),
        (9e-4, 10, True),
        (1.1e-3, 10, False),
    ):
        assert export.Difference(largest, scale, 1).within(1e-4) is expected


def test_tolerance_decides(tmp_path):
    write_weights(tmp_path / "w.pth")
    assert run(tmp_path / "w.pth", tmp_path / "n.onnx", "--format", "onnx", "--tolerance", "0") == 1
    assert not (tmp_path / "n.onnx").exists()


@pytest.mark.parametrize(
    "package, code, told",
    [("onnxruntime", 0, "not compared"), ("onnx", 1, "pip install onnx onnxruntime")],
)
def test_a_package_that_is_missing_is_said(tmp_path, monkeypatch, capsys, package, code, told):
    write_weights(tmp_path / "w.pth")
    monkeypatch.setitem(sys.modules, package, None)
    assert run(tmp_path / "w.pth", tmp_path / "n.onnx", "--format", "onnx") == code
    captured = capsys.readouterr()
    assert told in captured.out + captured.err
    assert (tmp_path / "n.onnx").exists() == (code == 0)


def test_a_damaged_onnx_file_is_not_valid():
    content = io.BytesIO()
    onnx.save(
        onnx.helper.make_model(
            onnx.helper.make_graph(
                [onnx.helper.make_node("NoSuchOperator", ["images"], ["logits"])], "graph", [], []
            )
        ),
        content,
    )
    with pytest.raises(ZooError, match="not valid ONNX"):
        export.onnx_program(content.getvalue())


@pytest.mark.parametrize(
    "flags",
    [
        ["--format", "onnx", "--opset", "99"],
        ["--format", "onnx", "--opset", "7"],
        ["--format", "tflite"],
        ["--format", "onnx", "--batch_size", "many"],
        ["--format", "onnx", "--batch_size", "0"],
        [],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(tmp_path, capsys, flags):
    write_weights(tmp_path / "w.pth")
    assert run(tmp_path / "w.pth", tmp_path / "n", *flags) == 64
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "n").exists()


def test_the_weights_are_not_written_over(tmp_path):
    write_weights(tmp_path / "w.pth")
    before = (tmp_path / "w.pth").read_bytes()
    assert run(tmp_path / "w.pth", tmp_path / "w.pth", "--format", "onnx") == 64
    assert (tmp_path / "w.pth").read_bytes() == before


def test_batches_come_from_the_dataset_asked_for(tmp_path, capsys):
    write_weights(tmp_path / "w.pth")
    flags = ["--format", "torchscript", "--dataset", "images", "--data_path", str(tmp_path / "x")]
    assert run(tmp_path / "w.pth", tmp_path / "n", *flags) == 1
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", export.FORMATS)
def test_the_default_network_is_exported(tmp_path, kind):
    name = "92_32input_update"
    network = write_weights(tmp_path / "w.pth", name)
    assert run(tmp_path / "w.pth", tmp_path / "n", "--format", kind, network=name) == 0
    assert_same_logits(network, read(tmp_path / "n", kind), 2)
