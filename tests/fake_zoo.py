"""A checkout with one fake network in a folder of the test's own, and launches in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

REPOSITORY = Path(__file__).absolute().parent.parent
FAKE_MODEL = Path(__file__).absolute().parent / "fake_model"
# What would reach the ranks from the machine on which the tests run.
_FOREIGN = re.compile(
    r"RANK|WORLD_SIZE|LOCAL_RANK|MASTER_|DEVICE_ID|ASCEND_|etp_running_flag|CUDA_VISIBLE|CM_|"
    r"TF_CPP_MIN|MODELARTS_MODEL|OMP_NUM|PYTHONUNBUFFERED|PYTHONPATH"
)


def own_variables() -> Dict[str, str]:
    """This process's variables without those."""
    return {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}


class FakeZoo:
    """A checkout under `root`; launches run there with `directory` as the user's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(str(FAKE_MODEL / "PyTorch"), str(root / "PyTorch"))
        self.directory = root
        self.data = root / "data"
        self.data.mkdir()
        self.environment = own_variables()
        self.environment.update(ZOO_ROOT=str(root), PYTHONPATH=str(REPOSITORY))

    @property
    def output(self) -> Path:
        """The folder that holds the run folders of the contract."""
        return self.root / "PyTorch" / "fake_net" / "test" / "output"

    def command(self, case: str, *flags: str) -> List[str]:
        return [
            sys.executable,
            "-m",
            "common",
            "launch",
            "fake_net",
            case,
            f"--data_path={self.data}",
            "--device=cpu",
        ] + list(flags)

    def launch(self, case: str, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.command(case, *flags), **variables)

    def run(self, command: List[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=str(self.directory),
            env=dict(self.environment, **variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, case: str, *flags: str, **variables: str) -> subprocess.Popen[str]:
        """Starts a launch and returns at once."""
        return subprocess.Popen(
            self.command(case, *flags),
            cwd=str(self.directory),
            env=dict(self.environment, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )

    def earlier(self) -> List[Path]:
        """The run folders that were moved aside from the contract's folder 0."""
        return sorted(self.output.glob("0.*"))


def marker(folder: Path) -> Dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def process_of(folder: Path, rank: int = 0) -> Dict[str, Any]:
    """What rank told of itself: pid, environment, argv, cores."""
    return json.loads((folder / f"rank_{rank}" / "process.json").read_text())


def steps_of(folder: Path, rank: int = 0) -> List[int]:
    path = folder / f"rank_{rank}" / "metrics.jsonl"
    if not path.exists():
        return []
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [event["step"] for event in events if event["event"] == "step"]


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Waits for a condition to hold and returns its value; fails when it does not in time."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain")


def is_alive(pid: int) -> bool:
    """Whether a process lives (one that ended and waits to be collected does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def stop(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> Optional[int]:
    """Sends a signal to a launch and waits for its end."""
    process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode
