"""TensorBoard scalars are written where tensorboard is installed, without TensorFlow."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from common.runs import scalar_board
from tests.run_events import evaluation, step

_stream = io.BytesIO()
Image.new("RGB", (258, 3)).save(_stream, "PNG")
PNG = _stream.getvalue()
EVENTS = [
    step(3, loss=0.25),
    evaluation("final", "test", 2, 90.0),
    {"event": "diagnostics", "step": 7, "values": {"entropy": 0.5}},
    {"event": "note", "text": "x"},
]
CODE = f"""
import json, sys
from pathlib import Path
from common.runs.scalar_board import open_scalar_sink
sink = open_scalar_sink(Path(sys.argv[1]))
for event in json.loads(sys.argv[2]):
    sink.write(event)
sink.write_pictures(8, {{"slots": {PNG!r}}})
sink.close()
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
(path,) = Path(sys.argv[1]).iterdir()
events = [Event.FromString(raw) for raw in RawEventFileLoader(str(path)).Load()]
values = [(value, event.step) for event in events for value in event.summary.value]
print(json.dumps([
    [one.tag, one.simple_value or [one.image.width, one.image.height], at]
    for one, at in values
] + [values[-1][0].image.encoded_image_string.hex(), "tensorflow" in sys.modules]))
"""


def test_scalars_and_pictures_are_in_the_file_and_tensorflow_is_not_imported(
    tmp_path: Path,
) -> None:
    pytest.importorskip("tensorboard")
    root = str(Path(scalar_board.__file__).parents[2])
    words = [sys.executable, "-c", CODE, str(tmp_path / "board"), json.dumps(EVENTS)]
    *points, picture, imported = json.loads(subprocess.check_output(words, cwd=root))
    assert points == [
        ["train/loss", 0.25, 3],
        ["train/learning_rate", pytest.approx(0.1), 3],
        ["test/accuracy", 90.0, 20],
        ["test/loss", 0.5, 20],
        ["diagnostics/entropy", 0.5, 7],
        ["pictures/slots", [258, 3], 8],
    ]
    assert picture == PNG.hex() and not imported


def test_without_tensorboard_there_is_no_sink(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    assert scalar_board.open_scalar_sink(tmp_path) is None
