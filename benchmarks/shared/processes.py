"""Worker processes of the benchmark, asked one at a time so that only one computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Optional, Sequence, Type

from common.core.errors import ZooError

WORKER = "benchmarks.shared.worker"
CHECKOUT = Path(__file__).resolve().parents[2]
END_SECONDS = 30
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # TensorFlow greets on the terminal otherwise


class Worker:
    """One process of benchmarks.shared.worker; leaving its context ends it.

    Raises:
        ZooError: the worker can't do what its name asks for; says why.
    """

    def __init__(self, name: str, flags: Sequence[str]) -> None:
        self.name = name
        environment = dict(QUIET, **dict(os.environ, PYTHONPATH=_search_path()))
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER, f"--name={name}", *flags],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        try:
            self.warm_up_seconds = float(self._read()["ready"])
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._end()

    def ask(self, steps: int) -> Dict[str, Any]:
        """Let the worker do `steps` steps; returns its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._read()

    def _read(self) -> Dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: Dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ZooError("{}: {}".format(self.name, answer["error"]))
        return answer

    def _ended(self) -> ZooError:
        return ZooError(
            f"{self.name}: its process ended with exit code {self._process.wait()}; what "
            "it printed is above"
        )

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _search_path() -> str:
    """The user's own entries stay in front: they may replace a framework's build."""
    own = [str(CHECKOUT / name) for name in ("", "PyTorch", "TensorFlow")]
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", "")] + own))
