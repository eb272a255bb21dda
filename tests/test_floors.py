"""The order of the floors of common/, as pyproject.toml states it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_each_floor_uses_only_floors_below_it(monkeypatch, capsys):
    linter = pytest.importorskip("importlinter.cli", reason="import-linter is on current alone")
    monkeypatch.chdir(ROOT)
    code = linter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_every_room_has_its_place_in_the_order():
    rooms = {path.name for path in (ROOT / "common").iterdir() if (path / "__init__.py").exists()}
    ordered = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("layers = [")[1]
    assert {room for room in rooms if f"common.{room}" not in ordered} == set()
