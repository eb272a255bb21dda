"""What a terminal shows: rank 0's output, a progress line below it, no chatter of imports."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import tempfile
from typing import IO, Any, Iterator, Optional

_CLEAR_LINE = "\r\x1b[K"


class Terminal:
    """Standard output; the progress line is drawn only where a person looks at it.

    Output that can't be written (closed, nobody reads, a full disk) is dropped: it must not end a
    run.
    """

    def __init__(self, stream: Optional[IO[str]] = None, errors: Optional[IO[str]] = None) -> None:
        self._stream: Any = sys.stdout if stream is None else stream
        self._errors: Any = sys.stderr if errors is None else errors
        self.interactive = self._stream is not None and bool(self._stream.isatty())
        self._status = ""
        self._at_line_start = True
        self._gone = self._stream is None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def pass_on(self, data: bytes) -> None:
        """Writes a rank's output as it is."""
        if data:
            self._clear()
            self._write(self._decoder.decode(data))
            self._at_line_start = data.endswith(b"\n")
            self._draw()

    def say(self, text: str) -> None:
        """Writes a line of the launcher's own."""
        self._clear()
        self._write(("" if self._at_line_start else "\n") + text + "\n")
        self._at_line_start = True
        self._draw()

    def complain(self, text: str) -> None:
        """Writes a line to standard error, after what was written before."""
        self._clear()
        self._flush()
        if self._errors is not None:
            with contextlib.suppress(OSError, ValueError):
                print(text, file=self._errors, flush=True)

    def status(self, text: str) -> None:
        """Draws the progress line anew; an empty text takes it away."""
        if self.interactive and text != self._status:
            self._clear()
            self._status = text
            self._draw()

    def _clear(self) -> None:
        if self._status and self._at_line_start:
            self._write(_CLEAR_LINE)

    def _draw(self) -> None:
        if self._status and self._at_line_start:  # never inside a line that a rank has begun
            self._write(self._status)
        self._flush()

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._attempt("write", text.encode(encoding, "replace").decode(encoding))

    def _flush(self) -> None:
        self._attempt("flush")

    def _attempt(self, action: str, *values: str) -> None:
        """Where nothing can be written the run and its log go on, without a word at the end."""
        try:
            if not self._gone:
                getattr(self._stream, action)(*values)
        except (OSError, ValueError):
            self._gone = True
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


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
            withheld.seek(0)
            os.write(real, withheld.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
