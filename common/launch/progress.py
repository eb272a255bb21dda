"""How far a run is: follows its events and tells the step, the loss and the time left."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple


class EventTail:
    """Reads what was added to a file of events since the last look."""

    def __init__(self, path: Path, from_end: bool = False) -> None:
        self.path = Path(path)
        self._offset = self.path.stat().st_size if from_end and self.path.exists() else 0
        self._rest = b""

    def read_new(self) -> List[Dict[str, Any]]:
        """The whole events that are new; a line that is still being written waits."""
        try:
            with open(str(self.path), "rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            return []
        self._offset += len(data)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        return [event for event in map(_decode, lines) if event is not None]


def _decode(line: bytes) -> Optional[Dict[str, Any]]:
    try:
        event = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


class Progress:
    """Where a run stands, from its events alone."""

    def __init__(self) -> None:
        self.step = 0
        self.target = 0
        self.epoch = 0
        self.loss: Optional[float] = None
        self.doing = "starting"
        self.ended = False  # whether the run has told its end
        self._first: Optional[Tuple[int, float]] = None  # step and time of this session's first
        self._pace: Optional[float] = None  # seconds for a step, all else included

    def update(self, event: Mapping[str, Any]) -> None:
        """Takes one event in."""
        kind = event["event"]
        self.ended = kind == "end"
        if kind == "start":
            self.target = int((event.get("targets") or {}).get("steps") or 0)
            self.step, self.doing = int(event.get("resumed_step") or 0), "starting"
            self._first = self._pace = None
        elif kind == "step":
            self._take_step(event)
        elif kind in ("heartbeat", "evaluation", "checkpoint"):
            self.doing = str(event.get("what", kind))

    def _take_step(self, event: Mapping[str, Any]) -> None:
        step, moment = int(event["step"]), float(event.get("time") or 0.0)
        if self._first is None:
            self._first = (step, moment)
        elif step > self._first[0]:
            self._pace = (moment - self._first[1]) / (step - self._first[0])
        self.step, self.epoch = step, int(event.get("epoch") or 0)
        loss = event.get("loss")
        self.loss = loss if isinstance(loss, (int, float)) else None
        self.doing = "training"

    def seconds_left(self) -> Optional[float]:
        """Seconds to the last step at the present pace; None before there is one."""
        if self._pace is None or not self.target:
            return None
        return max(0, self.target - self.step) * self._pace

    def line(self) -> str:
        """The progress line."""
        left = self.seconds_left()
        parts = ["{} {}/{}".format(self.doing, self.step, self.target or "?")]
        parts += [f"loss {self.loss:.4f}"] if self.loss is not None else []
        if left is not None:
            parts.append(f"{datetime.timedelta(seconds=int(left))} left")
        return "  ".join(parts)


class LineTail:
    """Reads what was added to a log since the last look, as it is."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._offset = self.path.stat().st_size if self.path.exists() else 0

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


def last_lines(path: Path, count: int) -> List[str]:
    """The last lines of a log, read from its end."""
    try:
        with open(str(path), "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 200 * count))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-count:]
