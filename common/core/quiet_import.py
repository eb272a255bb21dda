"""Keeps what a library prints while it is imported from burying a run's own first lines."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import Iterator


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Withholds what is written to standard error by whatever means; shows it if the body fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as withheld:
        real = os.dup(2)
        os.dup2(withheld.fileno(), 2)
        try:
            yield
        except BaseException:
            _show(withheld.fileno(), real)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)


def _show(withheld: int, real: int) -> None:
    os.lseek(withheld, 0, os.SEEK_SET)
    for block in iter(lambda: os.read(withheld, 1 << 16), b""):
        os.write(real, block)
