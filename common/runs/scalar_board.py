"""TensorBoard scalars and pictures without TensorFlow or torch, where tensorboard is there."""

from __future__ import annotations

import struct
import sys
import time
import types
from pathlib import Path
from typing import Any, Optional, Tuple

from common.runs.events import ScalarSink

RGB = 3


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

    def add_picture(self, tag: str, png: bytes, step: int) -> None:
        """Adds one PNG file's content."""
        width, height = png_size(png)
        image = self._summary.Image(
            width=width, height=height, colorspace=RGB, encoded_image_string=png
        )
        summary = self._summary(value=[self._summary.Value(tag=tag, image=image)])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._writer.close()


def png_size(png: bytes) -> Tuple[int, int]:
    """Width and height of a PNG, from its header; ValueError where it is none."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise ValueError("not a PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _keep_tensorflow_out() -> None:
    """Marks that tensorboard is to do without TensorFlow, whose import takes many seconds."""
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))


def open_scalar_sink(folder: Path) -> Optional[ScalarSink]:
    """A sink that writes into folder, or None where tensorboard is not installed."""
    try:
        return ScalarSink(ScalarWriter(folder))
    except ImportError:
        return None
