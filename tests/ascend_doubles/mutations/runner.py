"""Runs tests on a copy of the checkout, unchanged or with one mutation applied."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Sequence

from tests.ascend_doubles.mutations.mutation import Mutation

COPIED = ("common", "tests", "PyTorch", "TensorFlow")
FILES = ("conftest.py", "pyproject.toml")
NOT_COPIED = (
    "__pycache__",
    "fixtures",
    "golden",
    "output",
    ".*",
    "*.png",
    "*.ipynb",
    "*.npz",
    "*.xz",
)
LARGEST_FILE = 1 << 20
SECONDS = 120.0
WORKER = "tests.ascend_doubles.mutations.worker"


def copy_checkout(root: Path, target: Path) -> Path:
    """A copy of what tests need, with nothing that Python compiled."""
    for name in COPIED:
        shutil.copytree(str(root / name), str(target / name), ignore=_ignored)
    for name in FILES:
        shutil.copy(str(root / name), str(target / name))
    return target


def _ignored(folder: str, names: Sequence[str]) -> set:
    large = {
        name
        for name in names
        if os.path.isfile(os.path.join(folder, name))
        and os.path.getsize(os.path.join(folder, name)) > LARGEST_FILE
    }
    return set(shutil.ignore_patterns(*NOT_COPIED)(folder, list(names))) | large


class Outcomes:
    """What became of tests: for each of pytest's names passed, failed, skipped or error."""

    def __init__(self, outcomes: Dict[str, str], output: str) -> None:
        self.outcomes, self.output = outcomes, output

    def of(self, test: str) -> Sequence[str]:
        """The outcomes of a function's cases; () where it did not run."""
        return [
            outcome
            for name, outcome in self.outcomes.items()
            if name == test or name.startswith(test + "[")
        ]


class Runner:
    """A copy of the checkout, and a process that has the framework imported and forks per run."""

    def __init__(self, root: Path, folder: Path, framework: str) -> None:
        """
        Args:
            framework: "tensorflow" or "torch", imported once for all runs.
        """
        self.copy = copy_checkout(root, folder / "checkout")
        environment = dict(
            os.environ,
            PYTHONPATH=str(self.copy),
            TF_USE_LEGACY_KERAS="1",
            OMP_NUM_THREADS="1",
            TF_CPP_MIN_LOG_LEVEL="0",
        )
        self._worker = subprocess.Popen(
            [sys.executable, "-m", WORKER, framework],
            cwd=str(self.copy),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )

    def close(self) -> None:
        """Ends the process."""
        self._worker.stdin.close()
        self._worker.wait()

    def run(self, tests: Sequence[str], first_failure_ends: bool = False) -> Outcomes:
        """Runs tests in a fresh process."""
        return self._ask({"tests": list(tests), "seconds": SECONDS, "mutated": first_failure_ends})

    def run_mutated(self, mutation: Mutation) -> Outcomes:
        """Runs a mutation's tests on the copy that has it."""
        with self._mutated(mutation):
            return self.run(mutation.tests, first_failure_ends=True)

    @contextlib.contextmanager
    def _mutated(self, mutation: Mutation) -> Iterator[None]:
        path = self.copy / mutation.file
        original = path.read_text(encoding="utf-8")
        _write(path, mutation.applied_to(original))
        try:
            yield
        finally:
            _write(path, original)

    def _ask(self, question: Dict[str, Any]) -> Outcomes:
        self._worker.stdin.write(json.dumps(question) + "\n")
        self._worker.stdin.flush()
        answer = self._worker.stdout.readline()
        if not answer:
            raise RuntimeError("the process that runs mutated tests has ended; see its output")
        found = json.loads(answer)
        return Outcomes(found["outcomes"], found["output"])


def _write(path: Path, text: str) -> None:
    """Writes a source file, and removes what was compiled of it: times in seconds don't tell."""
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(path.stem + ".*.pyc"):
        compiled.unlink()
