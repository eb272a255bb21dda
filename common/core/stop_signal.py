"""Remembers that the run was asked to end, so that it can end at a step and not inside one."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Optional


class StopSignal:
    """Catches SIGTERM and SIGINT; a second one ends the process at once."""

    def __init__(self) -> None:
        self.number: Optional[int] = None

    def install(self) -> StopSignal:
        """Takes the two signals over; returns self."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)
        return self

    def _remember(self, number: int, frame: Optional[FrameType]) -> None:
        if self.number is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.number = number

    def agree(self) -> None:
        """Another rank was asked to end, so this one ends too."""
        self.number = self.number or signal.SIGTERM

    @property
    def asked(self) -> bool:
        """Whether the run was asked to end."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it."""
        return 128 + int(self.number or signal.SIGTERM)
