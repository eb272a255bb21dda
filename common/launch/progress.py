"""How far a run is: what was added to its log and to its events, told in one line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List, Optional, Tuple

from common.core.text import duration
from common.runs.events import Event, decoded

# TensorFlow's own lines: of its C++ part, of absl, and deprecations with the line that follows.
_NOISE = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] |[IWE]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] "
    rb"|WARNING:tensorflow:|WARNING: All log messages before absl|Instructions for updating:"
)
_MAY_BE_NOISE = re.compile(rb"[\dIWE]")


class Tail:
    """Reads what was added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._offset = self.path.stat().st_size if self.path.exists() else 0
        self._rest = b""

    def read_new(self) -> bytes:
        """The new bytes."""
        try:
            with open(str(self.path), "rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            return b""
        self._offset += len(data)
        return data

    def new_events(self) -> List[Event]:
        """The whole events that are new; one that is still being written waits."""
        *lines, self._rest = (self._rest + self.read_new()).split(b"\n")
        return [event for event in map(decoded, lines) if event is not None]


class QuietTail(Tail):
    """What a log got, without TensorFlow's own lines, which stay in the log."""

    _advice = False  # whether the next line belongs to a line of TensorFlow's

    def read_new(self) -> bytes:
        """The new bytes; a begun line that may be TensorFlow's waits for its end."""
        *lines, begun = (self._rest + super().read_new()).split(b"\n")
        shown = b"".join(line + b"\n" for line in lines if self._is_shown(line))
        self._rest = begun if self._advice or _MAY_BE_NOISE.match(begun) else b""
        return shown if self._rest else shown + begun

    def _is_shown(self, line: bytes) -> bool:
        noise, advice = _NOISE.match(line) is not None, self._advice
        self._advice = line.startswith(b"Instructions for updating:")
        return not noise and not advice


class Progress:
    """Where a run stands, from its events alone."""

    def __init__(self) -> None:
        self.step = 0
        self.target = 0
        self.loss: Optional[float] = None
        self.doing = "starting"
        self.ended = False  # whether the run has told its end
        self._first: Optional[Tuple[int, float]] = None  # step and time of this session's first
        self._pace: Optional[float] = None  # seconds for a step, all else included

    def update(self, event: Event) -> None:
        """Takes one event in."""
        kind = event["event"]
        self.ended = kind == "end"
        if kind == "start":
            self.target = int((event.get("targets") or {}).get("steps") or 0)
            self.step, self.doing = int(event.get("resumed_step") or 0), "starting"
            self._first = self._pace = None
        elif kind == "step":
            step, moment = int(event["step"]), float(event.get("time") or 0.0)
            if self._first is None:
                self._first = (step, moment)
            elif step > self._first[0]:
                self._pace = (moment - self._first[1]) / (step - self._first[0])
            loss = event.get("loss")
            self.loss = loss if isinstance(loss, (int, float)) else None
            self.step, self.doing = step, "training"
        elif kind in ("heartbeat", "evaluation", "checkpoint"):
            self.doing = str(event.get("what", kind))

    def line(self) -> str:
        """The progress line: "training 2/10  loss 0.5000  8:00 left"."""
        parts = [f"{self.doing} {self.step}/{self.target or '?'}"]
        parts += [f"loss {self.loss:.4f}"] if self.loss is not None else []
        if self._pace is not None and self.target:
            parts.append(duration(max(0, self.target - self.step) * self._pace) + " left")
        return "  ".join(parts)


def last_lines(path: Path, count: int) -> List[str]:
    """The last lines of a log, read from its end."""
    try:
        with open(str(path), "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 200 * count))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-count:]
