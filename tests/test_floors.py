"""The order of the floors of common/, as pyproject.toml states it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_each_floor_uses_only_floors_below_it():
    pytest.importorskip("importlinter", reason="import-linter is on current alone")
    # In a process of its own: it replaces standard output for good.
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=str(ROOT), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_every_room_has_its_place_in_the_order():
    rooms = {path.name for path in (ROOT / "common").iterdir() if (path / "__init__.py").exists()}
    ordered = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("layers = [")[1]
    assert {room for room in rooms if f"common.{room}" not in ordered} == set()
