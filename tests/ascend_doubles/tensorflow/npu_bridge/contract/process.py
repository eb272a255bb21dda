"""What one process has of the plugin, and what its tests may look at."""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from typing import Any, Dict, List, Optional

from npu_bridge.contract import cann

_SHOWN = (
    "adapter",
    "soc",
    "device",
    "way",
    "rank",
    "size",
    "options",
    "ignored",
    "misread",
    "unknown",
    "sessions",
    "graphs",
    "messages",
    "closed",
)


class Process:
    """The state that GE keeps for a process.

    Attributes:
        options: the init-scope options in force; None before the first NPU session.
        ignored: init-scope options of later sessions that differ and have no effect.
        misread: keys whose value was in another type's field, so that zero was read.
        unknown: keys that the plugin never reads.
        sessions: one dictionary per session: on_npu, added_by_user, rewrites_left_on, open.
        graphs: one dictionary per compiled graph: id, session, fetches, how often it was run, and
            the session's first and last run that was of it.
        device, way, rank, size: the device; "none", "table" or "cm"; this rank; number of ranks.
        messages: warnings and errors that the plugin only logs.
        closed: whether the runtime was closed.
    """

    def __init__(self) -> None:
        self.adapter, self.soc = ".".join(map(str, cann.adapter())), cann.soc()
        self.options: Optional[Dict[str, Any]] = None
        self.ignored: List[Dict[str, Any]] = []
        self.misread: List[str] = []
        self.unknown: List[str] = []
        self.sessions: List[Dict[str, Any]] = []
        self.graphs: List[Dict[str, Any]] = []
        self.messages: List[str] = []
        self.device, self.way, self.rank, self.size = 0, "none", 0, 1
        self.collective: Any = None
        self.closed = False

    def log(self, level: str, message: str, place: str = "tf_adapter/util/ge_plugin.cc:1") -> None:
        """Writes a line as TensorFlow's C++ does, and keeps what is no information."""
        if level != "I":
            self.messages.append(message)
        if int(os.environ.get("TF_CPP_MIN_LOG_LEVEL") or 0) <= "IWEF".index(level):
            now = time.time()
            text = "{}.{:06d}: {} {}] {}\n".format(
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)),
                int(now % 1 * 1e6),
                level,
                place,
                message,
            )
            sys.stderr.flush()
            os.write(sys.stderr.fileno() if _has_descriptor() else 2, text.encode())

    def close(self) -> None:
        """1.3: closes the runtime at exit."""
        self.closed = True
        if self.collective is not None:
            self.collective.close()
        folder = os.environ.get("ASCEND_DOUBLE_REPORT")
        if folder:
            path = os.path.join(folder, f"process_{os.getpid()}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump({name: getattr(self, name) for name in _SHOWN}, file, default=str)


def _has_descriptor() -> bool:
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


PROCESS = Process()
atexit.register(PROCESS.close)
