"""Shows how many scenes of a split are done: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from typing import Callable

from common.core.terminal import Terminal

_DRAW_EVERY = 0.2  # seconds, on a terminal
_TELL_EVERY = 15.0  # seconds, in a log
_BAR = 24  # characters


class SceneProgress:
    """Follows one split."""

    def __init__(
        self,
        terminal: Terminal,
        split: str,
        total: int,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal, self._split, self._total = terminal, split, total
        self._done = self._found = done
        self._clock = clock
        self._began = self._told = clock()

    def advance(self, count: int) -> None:
        """Says that so many more scenes are done; draws or writes a line when it is time."""
        self._done += count
        now = self._clock()
        if now - self._told >= (_DRAW_EVERY if self._terminal.interactive else _TELL_EVERY):
            self._told = now
            show = self._terminal.status if self._terminal.interactive else self._terminal.say
            show(self.line())

    def finish(self) -> None:
        """Takes the bar away and says what was made, and how fast."""
        self._terminal.status("")
        made, seconds = self._done - self._found, self._clock() - self._began
        self._terminal.say(
            f"{self._split}: {made} scenes in {seconds:.1f} s "
            f"({made / max(seconds, 1e-9):.0f} per second)"
        )

    def line(self) -> str:
        """The line now: bar, scenes, pace, time left."""
        full = int(_BAR * self._done / self._total)
        pace = (self._done - self._found) / max(self._clock() - self._began, 1e-9)
        parts = [f"{self._split:>10}"]
        if self._terminal.interactive:
            parts.append("[{}{}]".format("#" * full, "." * (_BAR - full)))
        parts.append(f"{self._done}/{self._total} scenes")
        if pace > 0:
            minutes, seconds = divmod(int((self._total - self._done) / pace), 60)
            parts.append(f"{pace:.0f}/s  {minutes}:{seconds:02d} left")
        return "  ".join(parts)
