"""`zoo diverge`: what it prints, draws and returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.commands.program import main
from common.evidence.divergence.comparing import compare_dumps
from common.evidence.divergence.picture import divergence_picture
from common.runs.dump.reading import find_dump
from tests.divergence_dumps import inputs, step, write

GOLDEN = Path(__file__).parent / "golden" / "diverge.txt"


@pytest.fixture()
def runs(tmp_path: Path) -> Path:
    """A folder with run a, and the runs that are compared with it."""
    write(tmp_path / "a", step())
    write(tmp_path / "near", step("float32"))
    write(
        tmp_path / "wrong",
        step(planted="third", size=1e-3),
        framework="numpy 2",
        device="npu (Ascend 910)",
        replayed_from="a",
    )
    write(tmp_path / "other", step(), given=inputs(seed=2))
    write(tmp_path / "damaged", step())
    path = tmp_path / "damaged" / "tensors" / "step_00000003" / "tensors.npz"
    path.write_bytes(path.read_bytes()[:-200])
    (tmp_path / "file").write_text("x")
    return tmp_path


def diverge(runs: Path, name: str, *flags: str) -> int:
    return main(["diverge", "--a", str(runs / "a"), "--b", str(runs / name), *flags])


@pytest.mark.parametrize("name, code", [("near", 0), ("wrong", 1), ("other", 2)])
def test_the_exit_code_is_the_verdict(name: str, code: int, runs: Path) -> None:
    assert diverge(runs, name) == code


@pytest.mark.parametrize(
    "name, flag, told",
    [
        ("nowhere", "", "holds no dump"),
        ("damaged", "", "is damaged"),
        *(("wrong", f"--relative={value}", "--relative") for value in ("nan", "inf", "-1", "x")),
        ("wrong", "--plot={}/", "is a folder; name a file in it"),
        ("wrong", "--plot={}/none/out.png", "there is no folder"),
        ("wrong", "--plot={}/file/out.png", "there is no folder"),
    ],
)
def test_what_can_not_be_compared_is_no_verdict(
    name: str, flag: str, told: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diverge(runs, name, *filter(None, [flag.format(runs)])) == 64
    printed = capsys.readouterr()
    assert told in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_what_nobody_expected_is_no_verdict(runs: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("common.commands.diverge.compare_dumps", lambda *_: 1 / 0)
    assert diverge(runs, "wrong") == 3
    assert "zoo diverge itself failed" in capsys.readouterr().err.splitlines()[-1]
    assert main(["diverge", "--a", str(runs / "a")]) == 64


def test_the_table_is_the_golden_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diverge(runs, "wrong", "--relative", "1e-4")
    text = capsys.readouterr().out
    assert text.replace(str(runs), "RUNS") == GOLDEN.read_text()
    diverge(runs, "wrong", "--relative", "1e-4", "--all")
    assert capsys.readouterr().out.count("\n") > text.count("\n")


def test_why_it_is_inconclusive_comes_before_the_verdict(runs: Path, capsys: Any) -> None:
    diverge(runs, "other")
    told = capsys.readouterr().out.strip().split("\n")
    assert told[-2] == "  - 1 of 1 tensors of the batch differ before the step (images)"
    assert told[-1].startswith("INCONCLUSIVE") and "--dump_from" in told[-1]
    assert not [line for line in told if "activation" in line]


def test_json_holds_every_tensor_and_every_rule_that_it_is_held_to(runs: Path, capsys: Any) -> None:
    diverge(runs, "wrong", "--json")
    content = json.loads(capsys.readouterr().out)
    assert (content["verdict"], content["first"]["name"]) == ("DIVERGES", "third")
    assert len(content["tensors"]) == 13
    tolerance = content["tolerance"]
    for item in content["tensors"]:
        kept = (
            item["relative"] <= item["tolerance"]
            and item["largest_relative"] <= item["tolerance"] * tolerance["largest_factor"]
            and item["size_ratio"] <= tolerance["size_factor"]
        )
        assert item["within"] is kept
    write(runs / "nan", step(poison=("second", np.nan)))
    diverge(runs, "nan", "--json")
    assert json.loads(capsys.readouterr().out)["first"]["nonfinite_b"] == 1


def test_the_picture_holds_every_tensor_and_marks_the_first_divergence(runs: Path) -> None:
    for name, code in (("wrong", 1), ("a", 0)):
        assert diverge(runs, name, "--plot", str(runs / f"{name}.png")) == code
        assert (runs / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    outcome = compare_dumps(find_dump(runs / "a"), find_dump(runs / "wrong"))
    (axes,) = divergence_picture(outcome).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert "first divergence: activation third" in lines
    points = [line for name, line in lines.items() if name.endswith("relative L2")][:-1]
    assert sum(len(line.get_xdata()) for line in points) == len(outcome.differences) == 13
    (loss,) = [item for item in outcome.differences if item.kind == "loss"]
    assert lines["loss: relative L2"].get_xydata().tolist() == [[loss.place, loss.relative]]
