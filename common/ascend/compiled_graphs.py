"""Counts npu_bridge's lines that say that a graph was compiled for the NPU.

One line proves that some graph reached the NPU; that the training step did is proved by a line that
comes with its first run. Lines that come later tell of recompilation, which costs minutes.
"""

from __future__ import annotations

import os
import stat
from typing import Optional

LINE = b"The model has been compiled on the Ascend AI processor"
NO_LINE = (
    "no line says that a graph was compiled for the NPU (npu_bridge 1.7 and later write them, "
    "where TF_CPP_MIN_LOG_LEVEL is 0)"
)


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
            for chunk in iter(lambda: stream.read(1 << 20), b""):
                *before, rest = (self._rest + chunk).split(LINE)
                self._count += len(before)
                self._rest = rest[1 - len(LINE) :]  # may be the beginning of a line
                self._position += len(chunk)
        return self._count

    def proof(self) -> Optional[str]:
        """What the lines of a program that doesn't train prove; None where nothing was seen."""
        count = self.count()
        if count is None:
            return None
        return f"{count} graph(s) compiled for the NPU" if count else NO_LINE


def _file_behind(descriptor: int) -> Optional[str]:
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        path = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
    return path if os.path.exists(path) else None


class CompilationWatch:
    """Counts the graphs that are compiled while a training runs; does nothing where it can't see.

    Args:
        lines: None where the run is on no NPU.
    """

    def __init__(self, lines: Optional[CompiledLines]) -> None:
        self._lines = lines if lines is not None and lines.count() is not None else None
        self._seen = self._steps = 0
        self.in_first_step = self.in_later_steps = self.elsewhere = 0

    def before_step(self) -> None:
        """Takes what was compiled since the last step as something else's: evaluation's, say."""
        self.elsewhere += self._new()

    def after_step(self) -> int:
        """Counts what the step had compiled; returns how many of them come too late."""
        new, self._steps = self._new(), self._steps + 1
        if self._steps == 1:
            self.in_first_step = new
            return 0
        self.in_later_steps += new
        return new

    def proof(self) -> Optional[str]:
        """What the counts prove, for the record; None where nothing could be seen."""
        total = self.in_first_step + self.in_later_steps + self.elsewhere
        if self._lines is None or total == 0:
            return None if self._lines is None else NO_LINE
        step = "none in the first training step, so it may not have run there"
        if self.in_first_step:
            step = f"{self.in_first_step} in the first training step"
        return (
            f"{total} graph(s) compiled for the NPU: {step}, {self.in_later_steps} in later steps"
        )

    def _new(self) -> int:
        if self._lines is None:
            return 0
        before, self._seen = self._seen, self._lines.count() or 0
        return self._seen - before
