"""The run log: one JSON event a line, cheap to write at every step, whole after any crash."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import time
import zlib
from pathlib import Path
from typing import (
    IO,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Union,
)

from common.core.codec import json_line
from common.core.errors import ZooError, first_line
from common.core.stop_signal import StopSignal
from common.runs.scalar_board import ScalarSink

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
        self._stream.write((json_line(record) + "\n").encode("utf-8"))
        self._to_the_board(lambda board: board.write(record))

    def pictures(self, step: int, pictures: Mapping[str, bytes]) -> None:
        """Hands PNGs by name to TensorBoard; the log itself keeps no pictures."""
        self._to_the_board(lambda board: board.write_pictures(step, pictures))

    def _to_the_board(self, tell: Callable[[ScalarSink], None]) -> None:
        """Tells TensorBoard; where that fails it is said once, and the run goes on without."""
        if self._tensorboard is None:
            return
        try:
            tell(self._tensorboard)
        except Exception as error:
            self._tensorboard = None
            print(f"note: nothing more goes to TensorBoard: {first_line(error)}", flush=True)

    def close(self) -> None:
        """Closes the file, and TensorBoard's."""
        self._stream.close()
        self._to_the_board(lambda board: board.close())

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _end_torn_line(path: Path) -> None:
    """Ends the line that a killed writer tore, so that the next event starts a line of its own."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with open(str(path), "rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            stream.write(b"\n")


@contextlib.contextmanager
def telling_the_end(log: RunLog, stop: StopSignal) -> Iterator[None]:
    """Writes the end event, whichever way the run ends."""
    try:
        yield
    except BaseException as error:
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        log.event("end", status="failed", reason=reason)
        raise
    if stop.asked:
        log.event("end", status="interrupted", reason=f"signal {stop.number}")
    else:
        log.event("end", status="complete", reason="")


def read_events(path: Path) -> Iterator[Event]:
    """Yields the events of one file in order, gzip or plain; what is no event is skipped.

    Raises:
        ZooError: the file can't be read.
    """
    path = Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(str(path), "rt", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                event = decoded(line)
                if event is not None:
                    yield event
    except (OSError, EOFError, zlib.error) as error:
        raise ZooError(f"the events {path} are missing or damaged: {error}") from error


def decoded(line: Union[str, bytes]) -> Optional[Event]:
    """The event of a line of a run log; None where it is none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
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
            resumed = _number(event, "resumed_step")
            kept = [old for old in kept if not _undone(old, resumed)]
        kept.append(event)
    return kept


def _undone(event: Event, resumed_step: float) -> bool:
    return event["event"] == "end" or (
        event["event"] in ("step", "epoch", "evaluation", "checkpoint")
        and _number(event, "step") > resumed_step
    )


def _number(event: Event, name: str) -> float:
    """A number of an event; 0 where it is none, which the event's own class tells."""
    value = event.get(name, 0)
    return value if isinstance(value, (int, float)) else 0


class EarlierLives(NamedTuple):
    """What a resumed run took over: seconds on the clock, and whether it had ended well."""

    seconds: float
    complete: bool


def earlier_lives(path: Path) -> EarlierLives:
    """The lives that a run log tells of; of one without the launcher's word, start to last event.

    Whatever can't be read counts nothing: no run fails for this.
    """
    total, begun, last, complete = 0.0, None, 0.0, False
    with contextlib.suppress(ZooError):
        for event in read_events(path):
            if event["event"] == "start":
                total += last - begun if begun is not None else 0.0
                begun, complete = _number(event, "time") or None, False
            last = max(last, _number(event, "time"))
            if event["event"] == "end":
                complete = event.get("status") == "complete"
            elif event["event"] == "launch":
                total, begun = total + _number(event, "seconds"), None
    return EarlierLives(total + (last - begun if begun is not None else 0.0), complete)
