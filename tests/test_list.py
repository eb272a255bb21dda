"""`zoo list`."""

import json

from common.commands.program import main
from tests.fake_zoo import FAKE_MODEL


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
