"""Rules of the Ascend software, broken in the product one by one: a test notices each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.pytorch
@pytest.mark.tensorflow
def test_every_broken_rule_is_noticed() -> None:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.ascend_doubles.mutations"],
        cwd=str(ROOT),
        env=dict(os.environ, PYTHONPATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0 and ": noticed" in done.stdout, done.stdout[-9000:]
