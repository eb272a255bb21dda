"""What every run says of itself: a command without folders, and how it ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from common.core.stop_signal import StopSignal
from common.runs.events import RunLog, read_events
from common.runs.run_events import shown_command, telling_the_end


def end_of(folder: Path, stop: StopSignal, error: Exception = None) -> dict:
    with RunLog(folder) as log:
        try:
            with telling_the_end(log, stop):
                if error is not None:
                    raise error
        except ValueError:
            pass
    return list(read_events(folder / "metrics.jsonl"))[-1]


def test_the_shown_command_can_be_typed_and_names_no_folder() -> None:
    shown = shown_command(
        [
            "/some/where/train.py",
            "--data_path",
            "/data/cifar",
            "--resume",
            "--output_path=/home/me/run",
            "--recipe=modern",
        ],
        "slot_attention.object_discovery",
    )
    assert shown == (
        "python -m slot_attention.object_discovery.train --data_path '…/cifar' "
        "--resume '--output_path=…/run' --recipe=modern"
    )


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
    tmp_path: Path, number, error, status, reason
) -> None:
    stop = StopSignal()
    stop.number = number
    event = end_of(tmp_path, stop, error)
    assert (event["status"], event["reason"]) == (status, reason)
