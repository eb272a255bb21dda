"""A fourth network, added by its folder alone: listed, launched, recorded, in the tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ADDED = Path(__file__).resolve().parent / "added_network"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout whose only network is the added one."""
    shutil.copytree(str(ADDED / "TensorFlow"), str(tmp_path / "TensorFlow"))
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "launch").symlink_to(REPOSITORY / "scripts" / "launch")
    return tmp_path


def run(words: List[str], root: Path) -> str:
    environment = dict(
        os.environ, ZOO_ROOT=str(root), PYTHONPATH=str(REPOSITORY), ZOO_PYTHON=sys.executable
    )
    done = subprocess.run(
        words,
        cwd=str(root),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def zoo(root: Path, *words: str) -> str:
    return run([sys.executable, "-m", "common"] + list(words), root)


def test_the_card_alone_makes_it_known(root: Path) -> None:
    told = zoo(root, "list")
    assert "mean_net: Mean Network, tensorflow" in told and "learns a little" in told


def test_it_is_launched_by_its_script(root: Path) -> None:
    script = root / "TensorFlow" / "mean_net" / "test" / "train_full_1p.sh"
    told = run(["bash", str(script), "--device=cpu"], root)
    assert "Final Train Accuracy : 0.9" in told
    record = json.loads((script.parent / "output" / "0" / "record.json").read_text())
    assert (record["model"], record["status"]) == ("mean_net", "complete")


def test_seeds_records_and_tables_take_it_as_any_other(root: Path) -> None:
    zoo(root, "launch", "mean_net", "smoke", "--device=cpu", "--output_path=out")
    zoo(root, "record", "out")
    assert "README.md" in zoo(root, "table", "--write")
    assert "| mean" in (root / "TensorFlow" / "mean_net" / "README.md").read_text()
    assert "1 record, tables agree" in zoo(root, "table", "--check")
