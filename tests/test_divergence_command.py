"""`zoo diverge`: what it prints, draws and returns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from common.commands.program import main
from common.evidence.divergence.outcome import compare_dumps
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
    return tmp_path


def diverge(runs: Path, name: str, *flags: str) -> int:
    return main(["diverge", "--a", str(runs / "a"), "--b", str(runs / name), *flags])


@pytest.mark.parametrize("name, code", [("near", 0), ("wrong", 1), ("other", 2), ("nowhere", 64)])
def test_the_exit_code_is_the_verdict(name: str, code: int, runs: Path) -> None:
    assert diverge(runs, name) == code


def test_a_damaged_dump_is_no_verdict(runs: Path, capsys) -> None:
    path = runs / "wrong/tensors/step_00000003/tensors.npz"
    path.write_bytes(path.read_bytes()[:-200])
    assert diverge(runs, "wrong") == 64
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "x", "1e400"])
def test_a_tolerance_is_a_number(value: str, runs: Path) -> None:
    assert diverge(runs, "wrong", f"--relative={value}") == 64


def test_what_nobody_expected_is_no_verdict(runs: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("common.commands.diverge.compare_dumps", lambda *_: 1 / 0)
    assert diverge(runs, "wrong") == 3
    assert "zoo diverge itself failed" in capsys.readouterr().err.splitlines()[-1]


def test_both_runs_are_needed(runs: Path, capsys) -> None:
    assert main(["diverge", "--a", str(runs / "a")]) == 64
    assert "--b" in capsys.readouterr().err


def test_the_table_is_the_golden_one(runs: Path, capsys) -> None:
    diverge(runs, "wrong", "--relative", "1e-4")
    assert capsys.readouterr().out.replace(str(runs), "RUNS") == GOLDEN.read_text()


def test_by_default_only_what_matters_is_printed(runs: Path, capsys) -> None:
    diverge(runs, "wrong")
    few = capsys.readouterr().out.count("\n")
    diverge(runs, "wrong", "--all")
    assert few < capsys.readouterr().out.count("\n")


def test_why_it_is_inconclusive_comes_before_the_verdict(runs: Path, capsys) -> None:
    diverge(runs, "other")
    told = capsys.readouterr().out.strip().split("\n")
    assert told[-2] == "  - 1 of 1 tensors of the batch differ before the step (images)"
    assert told[-1].startswith("INCONCLUSIVE") and "--dump_from" in told[-1]
    assert not [line for line in told if "activation" in line]


def test_json_holds_every_tensor_and_every_rule_that_it_is_held_to(runs: Path, capsys) -> None:
    diverge(runs, "wrong", "--json")
    content = json.loads(capsys.readouterr().out)
    assert (content["verdict"], content["first"]["name"]) == ("DIVERGES", "third")
    assert len(content["tensors"]) == 13
    factors = {name: content["tolerance"][name] for name in ("largest_factor", "size_factor")}
    for item in content["tensors"]:
        kept = (
            item["relative"] <= item["tolerance"]
            and item["largest_relative"] <= item["tolerance"] * factors["largest_factor"]
            and item["size_ratio"] <= factors["size_factor"]
        )
        assert item["within"] is kept


def test_json_has_null_for_what_is_no_number(runs: Path, capsys) -> None:
    write(runs / "nan", step(poison=("second", np.nan)))
    diverge(runs, "nan", "--json")
    assert json.loads(capsys.readouterr().out)["first"]["nonfinite_b"] == 1


def test_the_picture_holds_every_tensor_and_marks_the_first_divergence(runs: Path) -> None:
    assert diverge(runs, "wrong", "--plot", str(runs / "out.png")) == 1
    assert (runs / "out.png").read_bytes().startswith(b"\x89PNG")
    outcome = compare_dumps(find_dump(runs / "a"), find_dump(runs / "wrong"))
    (axes,) = divergence_picture(outcome).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert "first divergence: activation third" in lines
    points = [line for name, line in lines.items() if name.endswith("relative L2")][:-1]
    assert sum(len(line.get_xdata()) for line in points) == len(outcome.differences) == 13
    (loss,) = [item for item in outcome.differences if item.kind == "loss"]
    assert lines["loss: relative L2"].get_xydata().tolist() == [[loss.place, loss.relative]]
    near = compare_dumps(find_dump(runs / "a"), find_dump(runs / "near"))
    told = [line.get_label() for line in divergence_picture(near).axes[0].get_lines()]
    assert not [name for name in told if name.startswith("first")]


@pytest.mark.parametrize(
    "path, told",
    [
        ("", "is a folder; name a file in it"),
        ("none/out.png", "there is no folder"),
        ("file/out.png", "there is no folder"),
    ],
)
def test_a_place_where_no_picture_can_be_is_told_before_anything_else(
    path: str, told: str, runs: Path, capsys
) -> None:
    (runs / "file").write_text("x")
    assert diverge(runs, "wrong", "--plot", str(runs / path)) == 64
    printed = capsys.readouterr()
    assert told in printed.err and printed.out == ""


def test_a_picture_of_tensors_that_are_all_equal_can_be_drawn(runs: Path) -> None:
    assert diverge(runs, "a", "--plot", str(runs / "equal.png")) == 0
    assert (runs / "equal.png").exists()
