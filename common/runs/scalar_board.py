"""TensorBoard scalars and pictures without TensorFlow or torch, where tensorboard is there."""

from __future__ import annotations

import io
import os
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Tuple

from common.core.errors import first_line

RGB = 3
FLUSH_SECONDS = 20.0


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
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event: Any = Event
        self._summary: Any = Summary
        # Not tensorboard's EventFileWriter: where its thread dies, training would wait for ever.
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._writer: Any = RecordWriter(open(str(folder / name), "ab"))  # noqa: SIM115
        self._flushed = 0.0
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, event: Mapping[str, Any]) -> None:
        """Adds the numbers of a step, evaluation or diagnostics event."""
        for tag, value in scalars_of(event):
            self._add(event["step"], tag=tag, simple_value=float(value))

    def write_pictures(self, step: int, pictures: Mapping[str, bytes]) -> None:
        """Adds PNGs by name."""
        from PIL import Image

        for name, png in pictures.items():
            width, height = Image.open(io.BytesIO(png)).size
            facts = {"width": width, "height": height, "colorspace": RGB}
            image = self._summary.Image(encoded_image_string=png, **facts)
            self._add(step, tag="pictures/" + name, image=image)

    def _add(self, step: int, **value: Any) -> None:
        summary = self._summary(value=[self._summary.Value(**value)])
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        if time.time() - self._flushed > FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.time()

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


def open_scalar_sink(folder: Path) -> Optional[ScalarSink]:
    """A sink that writes into folder; None without tensorboard, or where nothing can be written."""
    try:
        return ScalarSink(folder)
    except ImportError:
        return None
    except OSError as error:
        print(f"note: nothing is written to {folder}: {first_line(error)}", flush=True)
        return None
