"""A TensorFlow network written for other programs gives the outputs of the session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Tuple

import numpy as np
import pytest

from common.core.errors import ZooError
from common.training.exports import require_same
from common.training.tensorflow import exporting
from common.training.tensorflow.exporting import Exported, export
from common.training.tensorflow.runtime import tf

pytestmark = pytest.mark.tensorflow
IMAGES = np.random.RandomState(0).randint(0, 256, (2, 4, 4, 3)).astype(np.uint8)


@pytest.fixture
def network(default_graph: Any) -> Any:
    """A session with a convolution whose variable is no global one, and what of it is exported."""
    images = tf.placeholder(tf.uint8, (2, 4, 4, 3))
    kernel = tf.Variable(
        np.linspace(-1, 1, 54, dtype=np.float32).reshape(3, 3, 3, 2),
        use_resource=True,
        trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )
    features = tf.nn.conv2d(tf.cast(images, tf.float32) / 255, kernel, [1, 1, 1, 1], "SAME")
    weights, rows = tf.nn.top_k(tf.nn.softmax(tf.reshape(features, [2, -1])), 3)
    with tf.Session() as running:
        running.run(tf.local_variables_initializer())
        facts = {"classes": ["飞机", "bird"], "images": "bytes, 4 x 4"}
        yield (
            running,
            Exported(
                {"images": images}, {"weights": weights, "rows": rows}, {"images": IMAGES}, facts
            ),
        )


def test_every_format_is_written_gives_the_sessions_outputs_and_carries_names_and_facts(
    network: Tuple[Any, Any], tmp_path: Path
) -> None:
    import onnxruntime

    lines = export(*network, tmp_path / "made")
    made = {path.name: path for path in (tmp_path / "made").iterdir()}
    assert set(made) == {"saved_model", "network.pb", "network.onnx", "export.json"}
    assert len(lines) == 4 and "saved_model" in lines[0]
    told = json.loads(made["export.json"].read_text("utf-8"))
    assert told["inputs"] == {"images": ["uint8", [2, 4, 4, 3]]}
    assert told["classes"] == ["飞机", "bird"]
    program = onnxruntime.InferenceSession(
        str(made["network.onnx"]), providers=["CPUExecutionProvider"]
    )
    assert [value.name for value in program.get_inputs()] == ["images"]
    assert [value.name for value in program.get_outputs()] == ["weights", "rows"]
    assert json.loads(program.get_modelmeta().custom_metadata_map["classes"]) == told["classes"]
    with pytest.raises(ZooError, match="there already"):
        export(*network, tmp_path / "made", ["saved_model"])


@pytest.mark.parametrize(
    "apart, scale, same",
    [(0.9e-4, 0.1, True), (1.1e-4, 0.1, False), (9e-4, 10, True), (np.nan, 1, False)],
)
def test_the_tolerance_grows_with_outputs_above_one(apart: float, scale: float, same: bool) -> None:
    expected, found = {"a": np.full(3, scale)}, {"a": np.array([scale, scale + apart, scale])}
    if same:
        assert "off by" in require_same("file", expected, found)
        return
    with pytest.raises(ZooError, match="gives other outputs.*0.0001 is allowed"):
        require_same("file", expected, found)


def test_a_file_that_gives_something_else_is_refused(
    network: Tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = exporting._WRITERS["frozen"]

    def broken(*arguments: Any) -> Any:
        path, program = real(*arguments)
        return path, lambda example: {**program(example), "rows": np.full((2, 3), np.nan)}

    monkeypatch.setitem(exporting._WRITERS, "frozen", broken)
    with pytest.raises(ZooError, match=r"network\.pb gives other outputs"):
        exporting.export(*network, tmp_path, ["onnx", "frozen"])
    assert not list(tmp_path.iterdir())
