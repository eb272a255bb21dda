"""The run log: one JSON event a line, cheap to write at every step, whole after any crash."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Type

FILE_NAME = "metrics.jsonl"

Event = Dict[str, Any]


class RunLog:
    """Appends events of one rank to `<folder>/metrics.jsonl`, and scalars to TensorBoard.

    An event is on its way to the disk when the call returns: a killed process loses none that was
    written, and at most tears the last line, which readers skip.
    """

    def __init__(self, folder: Path, tensorboard: Optional[ScalarSink] = None) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        _end_torn_line(self.path)
        self._stream: IO[bytes] = open(  # noqa: SIM115 (held until close)
            str(self.path), "ab", buffering=0
        )
        self._tensorboard = tensorboard

    def event(self, kind: str, **fields: Any) -> None:
        """Writes one event; `kind` is one of start, step, epoch, evaluation, checkpoint, …."""
        record: Event = {"event": kind, "time": round(time.time(), 3)}
        record.update(fields)
        self._stream.write((encode(record) + "\n").encode("utf-8"))
        if self._tensorboard is not None:
            self._tensorboard.write(record)

    def pictures(self, step: int, pictures: Mapping[str, bytes]) -> None:
        """Hands PNGs by name to TensorBoard; the log itself keeps no pictures."""
        if self._tensorboard is not None:
            self._tensorboard.write_pictures(step, pictures)

    def close(self) -> None:
        """Closes the file, and TensorBoard's."""
        self._stream.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class ScalarSink:
    """Writes step, evaluation and diagnostics events as TensorBoard scalars, and pictures."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, event: Event) -> None:
        """Adds the numbers of one event to TensorBoard."""
        if event["event"] == "step":
            for name in ("loss", "learning_rate"):
                self._writer.add_scalar("train/" + name, event[name], event["step"])
        elif event["event"] == "evaluation":
            for name, value in event["metrics"].items():
                self._writer.add_scalar("{}/{}".format(event["split"], name), value, event["step"])
        elif event["event"] == "diagnostics":
            for name, value in event["values"].items():
                self._writer.add_scalar("diagnostics/" + name, value, event["step"])

    def write_pictures(self, step: int, pictures: Mapping[str, bytes]) -> None:
        """Adds PNGs by name."""
        for name, png in pictures.items():
            self._writer.add_picture("pictures/" + name, png, step)

    def close(self) -> None:
        """Flushes and closes TensorBoard's file."""
        self._writer.close()


def encode(record: Event) -> str:
    """One line of JSON; NaN and infinities become strings, since JSON has no such numbers."""
    try:
        return json.dumps(record, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(json_numbers(record), allow_nan=False, separators=(",", ":"))


def json_numbers(value: Any) -> Any:
    """A value with texts in place of NaN and infinities, since JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {name: json_numbers(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_numbers(part) for part in value]
    return value


def _end_torn_line(path: Path) -> None:
    """Ends the line that a killed writer tore, so that the next event starts a line of its own."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with open(str(path), "rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            stream.write(b"\n")


def read_events(path: Path) -> Iterator[Event]:
    """Yields the events of one file in order; lines that are not whole events are skipped."""
    with open(str(path), encoding="utf-8", errors="replace") as stream:
        for line in stream:
            event = _decode(line)
            if event is not None:
                yield event


def _decode(line: str) -> Optional[Event]:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def effective_events(path: Path) -> List[Event]:
    """The events of a run as if it had never been interrupted.

    A `start` event with resumed_step S says that training went on from the checkpoint of step S:
    what an earlier life of the run did after S is dropped, for it was done again.
    """
    kept: List[Event] = []
    for event in read_events(path):
        if event["event"] == "start":
            kept = [old for old in kept if not _undone(old, event.get("resumed_step", 0))]
        kept.append(event)
    return kept


def _undone(event: Event, resumed_step: int) -> bool:
    return event["event"] in ("step", "epoch", "evaluation", "checkpoint", "end") and (
        event.get("step", 0) > resumed_step or event["event"] == "end"
    )
