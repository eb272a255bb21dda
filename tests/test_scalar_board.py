"""TensorBoard scalars are written where tensorboard is installed, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.runs import scalar_board
from tests.run_events import evaluation, step

CODE = """
import sys
from pathlib import Path
from common.runs.scalar_board import open_scalar_sink
sink = open_scalar_sink(Path(sys.argv[1]))
sink.write({"event": "step", "step": 1, "loss": 0.5, "learning_rate": 0.1})
sink.close()
print("tensorflow" in sys.modules)
"""


def test_scalars_are_written_without_importing_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    root = str(Path(scalar_board.__file__).parent.parent)
    printed = subprocess.check_output([sys.executable, "-c", CODE, str(tmp_path)], cwd=root)
    assert printed.split()[-1] == b"False"
    assert [path.name.startswith("events.out.tfevents") for path in tmp_path.iterdir()] == [True]


def test_step_and_evaluation_become_scalars_and_other_events_do_not() -> None:
    written = []

    class Writer:
        def add_scalar(self, tag: str, value: float, number: int) -> None:
            written.append((tag, value, number))

    sink = scalar_board.ScalarSink(Writer())
    sink.write(step(3, loss=0.25))
    sink.write(evaluation("final", "test", 2, 90.0))
    sink.write({"event": "note", "text": "x"})
    assert written == [
        ("train/loss", 0.25, 3),
        ("train/learning_rate", 0.1, 3),
        ("test/accuracy", 90.0, 20),
        ("test/loss", 0.5, 20),
    ]


def test_diagnostics_and_pictures_are_handed_on() -> None:
    written = []

    class Writer:
        def add_scalar(self, tag: str, value: float, number: int) -> None:
            written.append((tag, value, number))

        def add_picture(self, tag: str, png: bytes, number: int) -> None:
            written.append((tag, png, number))

    sink = scalar_board.ScalarSink(Writer())
    sink.write({"event": "diagnostics", "step": 7, "values": {"entropy": 0.5}})
    sink.write_pictures(8, {"slots": b"png"})
    assert written == [("diagnostics/entropy", 0.5, 7), ("pictures/slots", b"png", 8)]


def test_a_pictures_size_comes_from_its_header() -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\1\2" + b"\0\0\0\3" + b"\x08\2"
    assert scalar_board.png_size(png) == (258, 3)
    with pytest.raises(ValueError, match="not a PNG"):
        scalar_board.png_size(b"GIF89a" + png)


def test_a_picture_is_written_whole(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    png = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\1\2" + b"\0\0\0\3" + b"rest"
    code = (
        "import sys; from pathlib import Path; from common.runs.scalar_board import ScalarWriter; "
        "writer = ScalarWriter(Path(sys.argv[1])); "
        f"writer.add_picture('slots', {png!r}, 5); writer.close()"
    )
    root = str(Path(scalar_board.__file__).parent.parent)
    subprocess.check_call([sys.executable, "-c", code, str(tmp_path)], cwd=root)
    assert png in next(tmp_path.iterdir()).read_bytes()


def test_without_tensorboard_there_is_no_sink(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    assert scalar_board.open_scalar_sink(tmp_path) is None
