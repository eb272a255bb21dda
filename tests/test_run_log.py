"""The run log loses nothing that was written, and reads as if nothing had interrupted the run."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common.core.stop_signal import StopSignal
from common.runs import scalar_board
from common.runs.events import (
    FILE_NAME,
    RunLog,
    earlier_lives,
    effective_events,
    read_events,
    telling_the_end,
)
from tests.run_events import evaluation, step


def test_an_event_is_on_the_disk_when_the_call_returns_and_whole_after_a_torn_line(
    tmp_path: Path,
) -> None:
    log = RunLog(tmp_path)
    log.event("step", step=1, loss=float("nan"), parts=[float("inf"), {"x": float("-inf")}])
    content = json.loads((tmp_path / FILE_NAME).read_text(), parse_constant=pytest.fail)
    assert (content["loss"], content["parts"]) == ("nan", ["inf", {"x": "-inf"}])
    with open(str(tmp_path / FILE_NAME), "ab") as stream:
        stream.write(b'noise\n[1,2]\n{"a":1}\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"event":"st')
    with RunLog(tmp_path) as log:
        log.event("step", step=2)
    assert [event["step"] for event in read_events(tmp_path / FILE_NAME)] == [1, 2]


@pytest.mark.parametrize("kept, steps", [(2, [(1, 1), (2, 1), (3, 2)]), (0, [(3, 2)])])
def test_what_was_done_after_the_checkpoint_of_a_resumed_run_counts_once(
    tmp_path: Path, kept: int, steps: Any
) -> None:
    with RunLog(tmp_path) as log:
        log.event("start", resumed_step=0)
        for number in (1, 2, 3):
            log.event("step", step=number, life=1)
        log.event("end", status="interrupted")
        log.event("start", resumed_step=kept)
        log.event("step", step=3, life=2)
    events = effective_events(tmp_path / FILE_NAME)
    assert [(one["step"], one["life"]) for one in events if one["event"] == "step"] == steps
    assert not [event for event in events if event["event"] == "end"]


def test_the_lives_of_a_run_add_up_without_the_pauses(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.event("start", time=100.0)
        log.event("step", time=107.0, step=1)  # killed: nobody told how long it took
        log.event("start", time=500.0)
        log.event("end", time=504.0, status="complete")
        log.event("launch", time=505.0, seconds=6.5)
    assert earlier_lives(tmp_path / FILE_NAME) == (13.5, True)
    assert earlier_lives(tmp_path / "none") == (0.0, False)


@pytest.mark.parametrize(
    "number, error, status, reason",
    [
        (None, None, "complete", ""),
        (signal.SIGTERM, None, "interrupted", "signal 15"),
        (None, ValueError("a\nb"), "failed", "a b"),
        (None, ValueError(), "failed", "ValueError"),
    ],
)
def test_the_end_event_says_how_the_run_ended(
    tmp_path: Path, number: Any, error: Any, status: str, reason: str
) -> None:
    stop = StopSignal()
    stop.number = number
    with RunLog(tmp_path) as log:
        try:
            with telling_the_end(log, stop):
                if error is not None:
                    raise error
        except ValueError:
            pass
    event = list(read_events(tmp_path / FILE_NAME))[-1]
    assert (event["status"], event["reason"]) == (status, reason)


# --- TensorBoard scalars are written where tensorboard is installed, without TensorFlow ---


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
