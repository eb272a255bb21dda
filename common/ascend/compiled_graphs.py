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


class CompilationWatch:
    """Counts the lines that come from now on to the file that standard error goes to.

    They come from C++, past Python's own stream; the file is looked at, so nothing stands between
    the program and its log. Where standard error is no file, and on no NPU, nothing is counted.
    """

    def __init__(self, on_npu: bool, descriptor: int = 2) -> None:
        self._path = _file_behind(descriptor) if on_npu else None
        self._position = os.path.getsize(self._path) if self._path else 0
        self._rest = b""
        self._steps = self._in_first_step = self._in_later_steps = self._elsewhere = 0

    def before_step(self) -> None:
        """Takes what was compiled since the last step as something else's: evaluation's, say."""
        self._elsewhere += self._new()

    def after_step(self) -> int:
        """Counts what the step had compiled; returns how many of them come too late."""
        new, self._steps = self._new(), self._steps + 1
        if self._steps == 1:
            self._in_first_step = new
            return 0
        self._in_later_steps += new
        return new

    def proof(self) -> Optional[str]:
        """What the counts prove, for the record; None where nothing could be seen."""
        self._elsewhere += self._new()
        total = self._in_first_step + self._in_later_steps + self._elsewhere
        if self._path is None or total == 0:
            return None if self._path is None else NO_LINE
        told = f"{total} graph(s) compiled for the NPU"
        if not self._steps:  # no training
            return told
        step = "none in the first training step, so it may not have run there"
        if self._in_first_step:
            step = f"{self._in_first_step} in the first training step"
        return f"{told}: {step}, {self._in_later_steps} in later steps"

    def _new(self) -> int:
        """Lines since the last look."""
        found = 0
        if self._path is not None:
            with open(self._path, "rb") as stream:
                stream.seek(self._position)
                for chunk in iter(lambda: stream.read(1 << 20), b""):
                    *before, rest = (self._rest + chunk).split(LINE)
                    found += len(before)
                    self._rest = rest[1 - len(LINE) :]  # may be the beginning of a line
                    self._position += len(chunk)
        return found


def _file_behind(descriptor: int) -> Optional[str]:
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        path = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
    return path if os.path.exists(path) else None
