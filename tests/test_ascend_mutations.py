"""Rules of the Ascend software, broken in the product one by one: a test notices each."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ascend_doubles.mutations import MUTATIONS, TORCH, Mutation

ROOT = Path(__file__).resolve().parents[1]
FAILED = 1


@pytest.mark.long
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name.replace(" ", "_"))
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    old = sys.version_info < (3, 8)
    if not old and mutation.where.startswith(TORCH):
        pytest.skip("the double is of torch 1.8.1's packages")
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("tensorflow") is None:
        pytest.skip("a framework is not installed")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    done = subprocess.run(
        [*words, "-p", "tests.ascend_doubles.mutations", mutation.test],
        cwd=str(ROOT),
        env=dict(
            os.environ,
            MUTATION=mutation.name,
            PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == FAILED and " failed" in done.stdout, done.stdout[-3000:]
