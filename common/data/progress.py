"""How far a transfer of bytes is: a line that is redrawn, or plain lines in a log."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Callable, Optional

from common.core.terminal import Terminal
from common.core.text import duration

DRAW_EVERY = 0.2  # seconds, on a terminal
TELL_EVERY = 30.0  # seconds, in a log
_BLOCK = 1 << 20


class ByteProgress:
    """Follows one file. The pace, and so the time left, counts only what came in this session."""

    def __init__(
        self,
        terminal: Terminal,
        label: str,
        total: Optional[int],
        start: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal, self._label, self._clock = terminal, label, clock
        self._total, self._start = total, start
        self._began = self._told = clock()

    def at(self, position: int) -> None:
        """Says that `position` bytes are done; draws or writes a line when it is time."""
        now = self._clock()
        if now - self._told >= (DRAW_EVERY if self._terminal.interactive else TELL_EVERY):
            self._told = now
            show = self._terminal.status if self._terminal.interactive else self._terminal.say
            show(self.line(position))

    def done(self) -> None:
        """Takes the line away."""
        self._terminal.status("")

    def line(self, position: int) -> str:
        """The line at a position: share, bytes, pace, time left."""
        pace = (position - self._start) / max(self._clock() - self._began, 1e-9)
        if not self._total:
            return f"{self._label}  {bytes_text(position)}  {bytes_text(pace)}/s"
        left = f"  {duration((self._total - position) / pace)} left" if pace > 0 else ""
        return (
            f"{self._label}  {100.0 * position / self._total:.0f} %  {bytes_text(position)} of "
            f"{bytes_text(self._total)}  {bytes_text(pace)}/s{left}"
        )


def bytes_text(size: float) -> str:
    """A number of bytes in decimal units: 170.5 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000.0
    return f"{size:.1f} GB"


def digest(path: Path, algorithm: str, progress: ByteProgress, before: int = 0) -> str:
    """A file's digest in hexadecimal; progress is told `before` plus the bytes read so far."""
    found, position = hashlib.new(algorithm), before
    with open(str(path), "rb") as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            found.update(block)
            position += len(block)
            progress.at(position)
    return found.hexdigest()
