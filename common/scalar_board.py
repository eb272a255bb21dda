"""TensorBoard scalars without TensorFlow or torch, where the tensorboard package is installed."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Any, Optional

from common.run_log import ScalarSink


class ScalarWriter:
    """Writes one scalar at a time into a TensorBoard event file."""

    def __init__(self, folder: Path) -> None:
        _keep_tensorflow_out()
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
        self._event: Any = Event
        self._summary: Any = Summary
        self._writer: Any = EventFileWriter(str(folder))

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Adds one point of one curve."""
        summary = self._summary(value=[self._summary.Value(tag=tag, simple_value=float(value))])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._writer.close()


def _keep_tensorflow_out() -> None:
    """Marks that tensorboard is to do without TensorFlow, whose import takes many seconds."""
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))


def open_scalar_sink(folder: Path) -> Optional[ScalarSink]:
    """A sink that writes into folder, or None where tensorboard is not installed."""
    try:
        return ScalarSink(ScalarWriter(folder))
    except ImportError:
        return None
