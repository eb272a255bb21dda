"""The notebook runs from top to bottom on synthetic data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import slot_attention

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]
NOTEBOOK = Path(slot_attention.__file__).parent / "object_discovery" / "eval.ipynb"


def _code_cells():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_every_cell_runs_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = {}
    for number, source in enumerate(_code_cells()):
        if number == 1:
            variables["STEPS"] = 2
        exec(compile(source, f"cell {number}", "exec"), variables)
    assert variables["metrics"]["n"] == 320
    assert set(variables["seen"]) == {"slots_in_use", "duplicate_masks"}
    assert (tmp_path / "output_of_notebook" / "run" / "pictures" / "training.gif").exists()


def test_it_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
