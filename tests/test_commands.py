"""`zoo record`, `zoo table` and `zoo list`, from a run folder to a README."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from common.commands.program import main
from tests.fake_zoo import FAKE_MODEL
from tests.test_record_store import write_run

CHECKOUT = Path(__file__).resolve().parent.parent
MODEL = Path("PyTorch") / "residual_attention_net"
README = "<!-- zoo:begin measured residual_attention_net -->\n<!-- zoo:end -->\n"


@pytest.fixture()
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one card, one README, and a finished run beside it."""
    folder = tmp_path / "checkout"
    (folder / MODEL).mkdir(parents=True)
    shutil.copy(str(CHECKOUT / MODEL / "model.yaml"), str(folder / MODEL))
    (folder / "README.md").write_text(README)
    write_run(tmp_path / "run")
    monkeypatch.setenv("ZOO_ROOT", str(folder))
    return folder


def test_a_recorded_run_is_in_the_readme_after_write(root: Path, tmp_path: Path, capsys) -> None:
    assert main(["record", str(tmp_path / "run")]) == 0
    assert main(["table", "--check"]) == 1
    told = capsys.readouterr().err
    assert "README.md" in told and "are not those of the records" in told
    assert main(["table", "--write"]) == 0
    assert "91.50" in (root / "README.md").read_text()
    assert main(["table", "--check"]) == 0
    level = root / MODEL / "modelzoo_level.txt"
    assert "FuncStatus:unverified\n" in level.read_text()  # nothing ran on an NPU
    level.write_text("PerfStatus:PERFECT\n")
    assert main(["table", "--check"]) == 1
    capsys.readouterr()
    assert main(["table", "--json"]) == 0
    assert [record["case"] for record in json.loads(capsys.readouterr().out)] == ["smoke"]


def test_a_run_folder_is_shown_without_being_kept(root: Path, tmp_path: Path, capsys) -> None:
    assert main(["record", "--show", str(tmp_path / "run")]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "complete"
    assert main(["table", "--run", str(tmp_path / "run")]) == 0
    assert "accuracy 91.50 %" in capsys.readouterr().out
    assert not (root / "results").exists()


def test_a_users_mistake_is_one_line(root: Path, tmp_path: Path, capsys) -> None:
    assert main(["record", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
    assert main(["table", "--json", "--write"]) == 64


def test_the_tables_of_this_checkout_are_those_of_its_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZOO_ROOT", str(CHECKOUT))
    assert main(["table", "--check"]) == 0


# --- `zoo list` ---


def test_the_list_has_cases_and_published_figures_in_a_hundred_columns(capsys, monkeypatch):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 50 and max(len(line) for line in lines) <= 100
    monkeypatch.setenv("ZOO_ROOT", str(FAKE_MODEL))
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "full_8p" in text and "counts on eight devices" in text
    assert "published, not measured here" in text and "source: nobody" in text
    assert "nothing is recorded" in text


def test_the_list_as_json_keeps_published_and_measured_apart(capsys, monkeypatch):
    monkeypatch.setenv("ZOO_ROOT", str(FAKE_MODEL))
    assert main(["list", "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert card["published"][0]["rows"] == [[99.5, "-"]] and card["measured"] == []


def test_an_empty_checkout_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_ROOT", str(tmp_path))
    assert main(["list"]) == 1
    assert "no networks under" in capsys.readouterr().err
