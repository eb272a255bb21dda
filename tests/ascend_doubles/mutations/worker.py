"""Runs tests in forks of a process that has imported the framework: `python -m … FRAMEWORK`.

Reads a question per line, {"tests": […], "seconds": …, "mutated": …}, and writes an answer per
line, {"outcomes": {name: outcome}, "output": text}.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from typing import Any, Dict, List

import pytest

_RANK = {"passed": 0, "skipped": 1, "failed": 2, "error": 3}


class Recorder:
    """A pytest plugin that keeps each test's worst outcome."""

    def __init__(self) -> None:
        self.outcomes: Dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called for setup, call and teardown of each test."""
        worst = self.outcomes.get(report.nodeid, "passed")
        self.outcomes[report.nodeid] = max(worst, report.outcome, key=_RANK.__getitem__)

    def pytest_collectreport(self, report: Any) -> None:
        """Called for each file that is read."""
        if report.failed:
            self.outcomes[report.nodeid] = "error"


def main(framework: str) -> None:
    """Answers questions until standard input ends."""
    _import(framework)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _import(framework: str) -> None:
    # Under Python 3.7 torch crashes when it is imported after TensorFlow 1.15.
    if importlib.util.find_spec("torch") is not None and (
        framework == "torch" or sys.version_info < (3, 8)
    ):
        importlib.import_module("torch")
    if framework == "tensorflow":
        importlib.import_module("tensorflow.compat.v1")
        if importlib.util.find_spec("tf_keras") is not None:
            importlib.import_module("tf_keras")


def _answer(question: Dict[str, Any]) -> Dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output, outcomes = (os.path.join(folder, name) for name in ("output", "outcomes"))
        child = os.fork()
        if child == 0:
            _run_tests(question, output, outcomes)
        _wait(child, question["seconds"])
        return {"outcomes": json.loads(_read(outcomes) or "{}"), "output": _read(output)}


def _run_tests(question: Dict[str, Any], output: str, outcomes: str) -> None:
    """The forked process: never returns."""
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.setpgid(0, 0)
        sys.dont_write_bytecode = question["mutated"]
        recorder = Recorder()
        words: List[str] = ["-q", "-p", "no:cacheprovider", "--tb=short"]
        pytest.main(words + question["tests"], plugins=[recorder])
        with open(outcomes, "w", encoding="utf-8") as file:
            json.dump(recorder.outcomes, file)
    finally:
        sys.stdout.flush()
        os._exit(0)


def _wait(child: int, seconds: float) -> None:
    """Waits for the child's end, and ends it and what it started where that takes too long."""
    deadline = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.02)


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


if __name__ == "__main__":
    main(sys.argv[1])
