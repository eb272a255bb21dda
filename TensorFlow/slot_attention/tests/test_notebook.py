"""The notebook runs from top to bottom on synthetic data, and is kept with what it gave."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import slot_attention

pytestmark = pytest.mark.tensorflow
NOTEBOOK = Path(slot_attention.__file__).parent / "object_discovery" / "eval.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


@pytest.mark.long
def test_every_cell_runs_in_order(tmp_path, monkeypatch):
    from common.core.terminal import Terminal
    from slot_attention.synthetic.prepare import DATASETS, SPRITES, Request, write_dataset

    counts = {"train": 64, "validation": 16, "test": 320}
    write_dataset(tmp_path, Request(SPRITES, DATASETS[SPRITES].small[0], counts), Terminal())
    monkeypatch.chdir(tmp_path)
    variables = {}
    for number, cell in enumerate(CODE):
        if number == 1:
            variables.update(STEPS=2, DATA=str(tmp_path))
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), variables)
    assert variables["metrics"]["n"] == 320
    assert variables["shares"].shape == (4, 4) and abs(variables["shares"].sum() - 4) < 1e-6
    assert (tmp_path / "output_of_notebook" / "run" / "pictures" / "training.gif").exists()


def test_it_is_kept_with_its_outputs_and_nothing_of_the_machine_they_were_made_on():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = {kind for cell in CODE for out in cell["outputs"] for kind in out.get("data", {})}
    assert {"image/png", "text/plain"} <= kinds
    assert NOTEBOOK.stat().st_size < 400_000
    told = re.sub(r'"image/png": "[^"]*"', "", json.dumps([cell["outputs"] for cell in CODE]))
    assert "fg_ari" in told and not re.search(r"[\"' ]/\w+/", told)
