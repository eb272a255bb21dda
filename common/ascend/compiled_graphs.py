"""Counts npu_bridge's lines that say that a graph was compiled for the NPU.

One line proves that some graph reached the NPU; that the training step did is proved by a line that
comes with its first run. Lines that come later tell of recompilation, which costs minutes.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from typing import Optional

LINE = b"The model has been compiled on the Ascend AI processor"
ROLLED_OUT = "npu_bridge 1.7"  # the first release that writes the line
NO_LINE = (
    f"no line says that a graph was compiled for the NPU ({ROLLED_OUT} writes them, where "
    "TF_CPP_MIN_LOG_LEVEL is 0)"
)
_CHUNK = 1 << 20


class CompiledLines:
    """The lines so far in the file that this process's standard error goes to.

    The lines come from C++, past Python's own stream; the file is looked at, so nothing stands
    between the program and its log.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._path = _file_behind(descriptor)
        self._position = os.path.getsize(self._path) if self._path else 0
        self._rest = b""
        self._count = 0

    def count(self) -> Optional[int]:
        """Lines since this object was made; None where standard error is no file."""
        if self._path is None:
            return None
        with open(self._path, "rb") as stream:
            stream.seek(self._position)
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                text = self._rest + chunk
                self._count += text.count(LINE)
                self._rest = _tail(text)
                self._position += len(chunk)
        return self._count


def proof_by(lines: CompiledLines) -> Optional[str]:
    """What the lines of a program that doesn't train prove; None where nothing could be seen."""
    count = lines.count()
    if count is None:
        return None
    return f"{count} graph(s) compiled for the NPU" if count else NO_LINE


def _tail(text: bytes) -> bytes:
    """What may be the beginning of a line whose end is not written yet."""
    end = text.rfind(LINE)
    rest = text if end < 0 else text[end + len(LINE) :]
    return rest[-(len(LINE) - 1) :]


def _file_behind(descriptor: int) -> Optional[str]:
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        path = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
    return path if os.path.exists(path) else None


@dataclass(frozen=True)
class CompiledGraphs:
    """How many graphs were compiled in the first training step, in later ones, and beside them."""

    in_first_step: int = 0
    in_later_steps: int = 0
    elsewhere: int = 0

    def proof(self) -> str:
        """What the counts prove, for the record."""
        total = self.in_first_step + self.in_later_steps + self.elsewhere
        if total == 0:
            return NO_LINE
        step = (
            f"{self.in_first_step} in the first training step"
            if self.in_first_step
            else "none in the first training step, so it may not have run there"
        )
        return (
            f"{total} graph(s) compiled for the NPU: {step}, {self.in_later_steps} in later steps"
        )


class CompilationWatch:
    """Counts the graphs that are compiled while a training runs; does nothing where it can't see.

    Args:
        lines: None where the run is on no NPU.
    """

    def __init__(self, lines: Optional[CompiledLines]) -> None:
        self._lines = lines if lines is not None and lines.count() is not None else None
        self._seen = 0
        self._steps = 0
        self.found = CompiledGraphs()

    def before_step(self) -> None:
        """Takes what was compiled since the last step as something else's: evaluation's, say."""
        self.found = replace(self.found, elsewhere=self.found.elsewhere + self._new())

    def after_step(self) -> int:
        """Counts what the step had compiled; returns how many of them come too late."""
        new, self._steps = self._new(), self._steps + 1
        if self._steps == 1:
            self.found = replace(self.found, in_first_step=new)
            return 0
        self.found = replace(self.found, in_later_steps=self.found.in_later_steps + new)
        return new

    def proof(self) -> Optional[str]:
        """What was seen, for the record; None where nothing could be."""
        return None if self._lines is None else self.found.proof()

    def _new(self) -> int:
        if self._lines is None:
            return 0
        before, self._seen = self._seen, self._lines.count() or 0
        return self._seen - before
