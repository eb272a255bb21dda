"""What the tests of writing synthetic datasets share."""

from __future__ import annotations

import io
from typing import IO, Optional

from common.core.terminal import Terminal


def quiet_terminal(stream: Optional[IO[str]] = None) -> Terminal:
    """A terminal that writes to a buffer, as into a log."""
    return Terminal(io.StringIO() if stream is None else stream, io.StringIO())
