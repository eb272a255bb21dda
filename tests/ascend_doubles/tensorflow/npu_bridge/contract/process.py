"""What one process has of the plugin, what its tests may look at, and how the plugin fails."""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from typing import Any, Dict, List, Optional

import tensorflow.compat.v1 as tf

_SHOWN = "device way rank size options ignored misread unknown sessions graphs closed hf32"


class PluginAbort(BaseException):
    """The plugin logs FATAL, which ends the process: no `except Exception` may catch it."""


def error(message: str) -> Any:
    """What a session raises where the plugin, GE or HCCL returns an error."""
    return tf.errors.InternalError(None, None, message)


def is_first_generation() -> bool:
    """The 910A family, without bfloat16 and without INF and NaN."""
    chip = os.environ.get("ASCEND_DOUBLE_SOC", "Ascend910A")
    return chip in ("Ascend910", "Ascend910A", "Ascend910B", "Ascend910ProA", "Ascend910ProB")


class Process:
    """The state that GE keeps for a process.

    Attributes:
        options: the options in force that hold once; None before the first NPU session.
        ignored: such options of later sessions that differ and have no effect.
        misread: keys whose value was in another type's field, so that zero was read.
        unknown: keys that the plugin never reads.
        sessions: one dictionary per session: on_npu, rewrites_left_on, open.
        graphs: one dictionary per compiled graph: id, session, fetches, how often it was run, and
            the session's first and last run that was of it.
        device, way, rank, size: the device; "none", "table" or "cm"; this rank; number of ranks.
        hf32: whether convolutions would be computed in HF32; None before the first NPU session.
    """

    def __init__(self) -> None:
        self.options: Optional[Dict[str, Any]] = None
        self.ignored: List[Dict[str, Any]] = []
        self.misread: List[str] = []
        self.unknown: List[str] = []
        self.sessions: List[Dict[str, Any]] = []
        self.graphs: List[Dict[str, Any]] = []
        self.device, self.way, self.rank, self.size = 0, "none", 0, 1
        self.collective: Any = None
        self.closed = False
        self.hf32: Optional[bool] = None

    def inform(self, message: str) -> None:
        """Writes a line of information as TensorFlow's C++ does."""
        if int(os.environ.get("TF_CPP_MIN_LOG_LEVEL") or 0) == 0:
            now = time.strftime("%Y-%m-%d %H:%M:%S.000000")
            sys.stderr.flush()
            os.write(2, f"{now}: I tf_adapter/kernels/geop_npu.cc:1] {message}\n".encode())

    def close(self) -> None:
        """Closes the runtime at exit."""
        self.closed = True
        if self.collective is not None:
            self.collective.close()
        folder = os.environ.get("ASCEND_DOUBLE_REPORT")
        if folder:
            shown = {name: getattr(self, name) for name in _SHOWN.split()}
            with open(os.path.join(folder, f"process_{os.getpid()}.json"), "w") as file:
                json.dump(shown, file, default=str)


PROCESS = Process()
atexit.register(PROCESS.close)
