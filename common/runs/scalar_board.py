"""TensorBoard scalars and pictures without TensorFlow or torch, where tensorboard is there."""

from __future__ import annotations

import struct
import sys
import time
import types
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Tuple

RGB = 3


class ScalarSink:
    """Writes what events tell, and pictures, into a TensorBoard event file.

    Raises:
        ImportError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        # Marks that tensorboard is to do without TensorFlow, whose import takes many seconds.
        no_tensorflow = types.ModuleType("tensorboard.compat.notf")
        sys.modules.setdefault("tensorboard.compat.notf", no_tensorflow)
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event: Any = Event
        self._summary: Any = Summary
        self._writer: Any = EventFileWriter(str(folder))

    def write(self, event: Mapping[str, Any]) -> None:
        """Adds the numbers of a step, evaluation or diagnostics event."""
        for tag, value in scalars_of(event):
            self._add(event["step"], tag=tag, simple_value=float(value))

    def write_pictures(self, step: int, pictures: Mapping[str, bytes]) -> None:
        """Adds PNGs by name."""
        for name, png in pictures.items():
            width, height = png_size(png)
            image = self._summary.Image(
                width=width, height=height, colorspace=RGB, encoded_image_string=png
            )
            self._add(step, tag="pictures/" + name, image=image)

    def _add(self, step: int, **value: Any) -> None:
        summary = self._summary(value=[self._summary.Value(**value)])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._writer.close()


def scalars_of(event: Mapping[str, Any]) -> Iterator[Tuple[str, Any]]:
    """The curves that an event has a point of, with the point's value."""
    if event["event"] == "step":
        yield from (("train/" + name, event[name]) for name in ("loss", "learning_rate"))
    elif event["event"] == "evaluation":
        yield from ((f"{event['split']}/{name}", at) for name, at in event["metrics"].items())
    elif event["event"] == "diagnostics":
        yield from (("diagnostics/" + name, at) for name, at in event["values"].items())


def png_size(png: bytes) -> Tuple[int, int]:
    """Width and height of a PNG, from its header; ValueError where it is none."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise ValueError("not a PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def open_scalar_sink(folder: Path) -> Optional[ScalarSink]:
    """A sink that writes into folder, or None where tensorboard is not installed."""
    try:
        return ScalarSink(folder)
    except ImportError:
        return None
