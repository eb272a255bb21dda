"""A checkout with one network that really learns, and the gate in it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

from common.commands import program as cli

REPOSITORY = Path(__file__).absolute().parent.parent
TINY_MODEL = Path(__file__).absolute().parent / "tiny_model"


class TinyZoo:
    """A checkout under `root`, in which `zoo regress` runs the network tiny_net."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(
            str(TINY_MODEL / "PyTorch"),
            str(root / "PyTorch"),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.environment = dict(os.environ, ZOO_ROOT=str(root), PYTHONPATH=str(REPOSITORY))

    def zoo(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "common"] + list(words),
            cwd=str(self.root),
            env=dict(self.environment, **variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def regress(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.zoo("regress", *words, **variables)

    def judge(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`zoo regress` in this process: for what starts no run."""
        out, errors = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, ZOO_ROOT=str(self.root)), contextlib.redirect_stdout(
            out
        ), contextlib.redirect_stderr(errors):
            code = cli.main(["regress"] + list(words))
        return subprocess.CompletedProcess(list(words), code, out.getvalue(), errors.getvalue())

    @property
    def baselines(self) -> List[Path]:
        return sorted((self.root / "ci" / "baselines" / "tiny_net").glob("*"))

    def last_runs(self) -> List[Path]:
        """The run folders of the last gate, by seed."""
        gate = sorted((self.root / "output" / "regress").iterdir())[-1]
        return sorted(gate.glob("*/seed_*"))


def verdicts(done: subprocess.CompletedProcess[str]) -> Dict[str, str]:
    """The verdict of each aspect of the only case of a --json result."""
    (case,) = result_of(done)["cases"]
    return {finding["aspect"]: finding["verdict"] for finding in case["findings"]}


def result_of(done: subprocess.CompletedProcess[str]) -> Dict[str, Any]:
    return json.loads(done.stdout)
