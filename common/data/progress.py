"""Shows how far a transfer of bytes is: a line that is redrawn, or plain lines in a log."""

from __future__ import annotations

import time
from typing import Callable, Optional

from common.core.terminal import Terminal

DRAW_EVERY = 0.2  # seconds, on a terminal
TELL_EVERY = 30.0  # seconds, in a log


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
        parts = [self._label]
        if self._total:
            parts.append(f"{100.0 * position / self._total:.0f} %")
        parts.append(
            bytes_text(position) + (f" of {bytes_text(self._total)}" if self._total else "")
        )
        parts.append(f"{bytes_text(pace)}/s")
        if self._total and pace > 0:
            parts.append(f"{duration_text((self._total - position) / pace)} left")
        return "  ".join(parts)


def bytes_text(size: float) -> str:
    """A number of bytes in decimal units: 170.5 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000.0
    return f"{size:.1f} GB"


def duration_text(seconds: float) -> str:
    """A duration as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
