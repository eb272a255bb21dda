"""npu_bridge's double, imported anew for each test: as if each were a process of its own."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any, Iterator

FOLDER = Path(__file__).resolve().parent / "tensorflow"
# What would reach the double from the machine on which the tests run.
_FOREIGN = re.compile(r"RANK_|DEVICE_ID|ASCEND_|POD_NAME|CM_|HCCL_|TF_CPP_MIN|ENABLE_HF32")


class Double:
    """A double just imported: its npu_init as `init`, what it saw as `process`."""

    def __init__(self) -> None:
        self.init = importlib.import_module("npu_bridge.npu_init")
        self.process = self.module("process").PROCESS
        self.abort = self.module("process").PluginAbort

    def module(self, name: str) -> Any:
        """Another module of npu_bridge, such as "ranks"."""
        return importlib.import_module("npu_bridge." + name)


@contextlib.contextmanager
def imported(monkeypatch: Any, soc: str = "Ascend910A", **environment: str) -> Iterator[Double]:
    """Imports the double with nothing of this machine's variables; undoes it at the end."""
    for name in filter(_FOREIGN.match, list(os.environ)):
        monkeypatch.delenv(name)
    values = dict(
        ASCEND_HOME_PATH="/cann",
        ASCEND_OPP_PATH="/cann/opp",
        JOB_ID="10087",
        ASCEND_DOUBLE_SOC=soc,
        ASCEND_DOUBLE_SECONDS="2",
        **environment,
    )
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(FOLDER))
    _forget()
    try:
        yield Double()
    finally:
        sessions = sys.modules.get("npu_bridge.sessions")
        if sessions is not None:
            sessions.uninstall()
            sys.modules["npu_bridge.process"].PROCESS.close()
        _forget()


def _forget() -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "npu_bridge":
            del sys.modules[name]
