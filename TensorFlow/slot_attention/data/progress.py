"""Says now and then how far a long preparation is, on standard error."""

from __future__ import annotations

import sys
import time

_EVERY = 10.0  # seconds; the first line after as long, so that short work stays silent


class ProgressLines:
    """Lines such as "reading clevr: 12000 of 70000 (17 %), 160/s, 6:02 left".

    Args:
        label: what is done.
        total: how many there are.
    """

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._began = self._told = time.monotonic()

    def at(self, done: int) -> None:
        """Says that so many are done, when it is time to."""
        now = time.monotonic()
        if now - self._told < _EVERY:
            return
        self._told = now
        pace = done / (now - self._began)
        left = int((self._total - done) / max(pace, 1e-9))
        print(
            f"{self._label}: {done} of {self._total} "
            f"({100.0 * done / max(self._total, 1):.0f} %), {pace:.0f}/s, "
            f"{left // 60}:{left % 60:02d} left",
            file=sys.stderr,
            flush=True,
        )
