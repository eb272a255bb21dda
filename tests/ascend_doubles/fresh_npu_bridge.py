"""npu_bridge's double, imported anew for each test: as if each were a process of its own."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any, Iterator

FOLDER = Path(__file__).resolve().parent / "tensorflow"
# What would reach the double from the machine on which the tests run.
_FOREIGN = (
    "RANK_TABLE_FILE",
    "RANK_ID",
    "RANK_SIZE",
    "DEVICE_ID",
    "ASCEND_DEVICE_ID",
    "POD_NAME",
    "ASCEND_RT_VISIBLE_DEVICES",
    "CM_CHIEF_IP",
    "CM_CHIEF_PORT",
    "CM_CHIEF_DEVICE",
    "CM_WORKER_SIZE",
    "CM_WORKER_IP",
    "HCCL_CONNECT_TIMEOUT",
    "TF_CPP_MIN_LOG_LEVEL",
    "ASCEND_DOUBLE_ADAPTER",
    "ASCEND_DOUBLE_SOC",
    "ASCEND_DOUBLE_REPORT",
)


class Double:
    """A double just imported: its npu_init as `init`, what it saw as `process`."""

    def __init__(self) -> None:
        self.init = importlib.import_module("npu_bridge.npu_init")
        self.process = importlib.import_module("npu_bridge.contract.process").PROCESS
        self.failures = importlib.import_module("npu_bridge.contract.failures")

    def module(self, name: str) -> Any:
        """Another module of npu_bridge, such as "estimator.npu.npu_hook"."""
        return importlib.import_module("npu_bridge." + name)


@contextlib.contextmanager
def imported(
    monkeypatch: Any, adapter: str = "1.15.0", soc: str = "Ascend910A", **environment: str
) -> Iterator[Double]:
    """Imports the double with nothing of this machine's variables; undoes it at the end."""
    for name in _FOREIGN:
        monkeypatch.delenv(name, raising=False)
    values = dict(
        ASCEND_HOME_PATH="/cann",
        ASCEND_OPP_PATH="/cann/opp",
        JOB_ID="10087",
        ASCEND_DOUBLE_ADAPTER=adapter,
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
        sessions = sys.modules.get("npu_bridge.contract.sessions")
        if sessions is not None:
            sessions.uninstall()
            sys.modules["npu_bridge.contract.process"].PROCESS.close()
        _forget()


def _forget() -> None:
    for name in list(sys.modules):
        if name.split(".")[0] in ("npu_bridge", "hccl"):
            del sys.modules[name]
