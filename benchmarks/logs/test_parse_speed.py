"""The benchmark of reading logs reads the same log in every way."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.logs import parse_speed
from common.evidence.logs.reading import read_log


def test_every_way_finds_every_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    parse_speed.write_log(log, 50)
    series = read_log(log).series
    for name, text in parse_speed.GREP_AND_AWK.items():
        out = subprocess.run(
            ["bash", "-c", text.format(log=log)], capture_output=True, text=True, check=True
        ).stdout.split("\n")[:-1]
        if name == "elapsed time":
            assert len(out) == len(series["elapsed_seconds"]) == 50
        else:
            one = series["loss"]
            known = one.steps if name == "step" else one.values
            assert [float(text) for text in out] == known.tolist()


def test_it_times_every_way_and_tells_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_speed.run(["--lines", "500", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "500 lines" in out and out.count("on the clock") == 6
    assert "allowed: 6 s of processor; reached" in out


def test_json_has_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_speed.run(["--lines", "500", "--repeats", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told) == 6 and all(one["wall"] > 0 and one["memory"] > 0 for one in told.values())


def test_too_slow_is_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parse_speed, "ALLOWED_SECONDS", 0.001)
    assert parse_speed.run(["--lines", "500", "--repeats", "1"]) == 1
    assert "missed by zoo parse (summary), read_log" in capsys.readouterr().out
