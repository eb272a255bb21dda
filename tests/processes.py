"""Programs started as their users start them: processes, ranks of a job, what a run leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from common.machine.ports import reserve_port
from common.runs.events import FILE_NAME, effective_events

CHECKOUT = Path(__file__).resolve().parents[1]


def environment(**extra: str) -> Dict[str, str]:
    """This process's environment with the checkout's packages, one thread a process."""
    path = os.pathsep.join(str(CHECKOUT / part) for part in ("", "PyTorch", "TensorFlow"))
    own = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
    return {**os.environ, **own, **extra}


def start(words: Sequence[Any], **variables: str) -> subprocess.Popen[str]:
    """Starts Python with a command line and returns at once."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def finish(*processes: subprocess.Popen[str]) -> List[str]:
    """What they printed, once all have ended well."""
    texts = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), texts
    return texts


def place(rank: int, count: int, port: int) -> Dict[str, str]:
    """What a launcher tells a rank of a job on this machine."""
    size = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {"RANK": str(rank), "LOCAL_RANK": str(rank), **size, **meeting}


def start_ranks(words: Sequence[Any], count: int = 2) -> List[subprocess.Popen[str]]:
    """Starts all ranks of a job."""
    port = free_port()
    return [start(words, **place(rank, count, port)) for rank in range(count)]


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    return reserve_port().port


def events(folder: Path, kind: Optional[str] = None, rank: int = 0) -> List[Dict[str, Any]]:
    """The effective events of a run folder, of one kind or all."""
    found = effective_events(folder / f"rank_{rank}" / FILE_NAME)
    return [event for event in found if kind is None or event["event"] == kind]
