"""`zoo diverge`: which tensor is named first, what is not comparable, what is printed and drawn."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import pytest

from common.commands.program import main
from common.core.errors import UsageError
from common.evidence.divergence.comparing import (
    DIVERGES,
    INCONCLUSIVE,
    WITHIN,
    Outcome,
    compare_dumps,
    tolerance_for,
)
from common.evidence.divergence.presentation import as_text, picture
from common.runs.dump import (
    KEPT_ELEMENTS,
    Tensor,
    find_dump,
    kept_samples,
    step_folder,
)
from tests.divergence_dumps import LAYERS, inputs, step, write

GOLDEN = Path(__file__).parent / "golden" / "diverge.txt"


def compared(
    tmp_path: Path, other: List[Tensor], one: Any = None, relative: Any = None, **b: Any
) -> Outcome:
    write(tmp_path / "a", step() if one is None else one)
    write(tmp_path / "b", other, **b)
    return compare_dumps(find_dump(tmp_path / "a"), find_dump(tmp_path / "b"), relative)


def times(kind: str, name: str, factor: float) -> List[Tensor]:
    """A step with one tensor that is `factor` times what it should be."""
    return [
        dataclasses.replace(item, values=item.values * factor)
        if (item.kind, item.name) == (kind, name)
        else item
        for item in step()
    ]


def with_bias(noise: float) -> List[Tensor]:
    return [*step(), Tensor("bias", "gradient", np.full(4, noise))]


@pytest.mark.parametrize(
    "other, changes",
    [
        (step(), {}),
        (step("float32"), {}),
        (step("float16"), {"arithmetic": "float16"}),
        (step("float32", planted="third", size=1e-3), {"relative": 0.1}),
        # a gradient that is rounding error alone
        (with_bias(-1e-9), {"one": with_bias(1e-9)}),
    ],
)
def test_what_rounding_explains_is_within_tolerance(
    other: List[Tensor], changes: Dict[str, Any], tmp_path: Path
) -> None:
    assert compared(tmp_path, other, **changes).verdict == WITHIN


@pytest.mark.parametrize(
    "other, relative, kind, name",
    [
        (step("float32", planted="fourth", size=1e-3), None, "activation", "fourth"),
        (step("float16"), None, "activation", "first"),
        (step("float32"), 0.0, "activation", "first"),
        (times("gradient", "second", 1.01), None, "gradient", "second"),
        (times("weight", "third", 1.01), None, "weight", "third"),
        (step(poison=("second", np.nan)), None, "activation", "second"),
        # of quite another size, which a tolerance above their own would hide
        (times("gradient", "third", 1 / 64), 3.0, "gradient", "third"),
    ],
)
def test_the_first_tensor_that_is_wrong_is_named(
    other: List[Tensor], relative: Optional[float], kind: str, name: str, tmp_path: Path
) -> None:
    outcome = compared(tmp_path, other, relative=relative)
    assert outcome.verdict == DIVERGES and outcome.first is not None
    assert (outcome.first.kind, outcome.first.name) == (kind, name)
    if relative == 3.0:
        assert outcome.first.size_ratio >= 64
        assert "times as large as the other" in as_text(outcome)


def test_an_error_in_one_element_is_found_by_the_largest_difference(tmp_path: Path) -> None:
    values = np.ones((1000, 1000), np.float32)
    other = values.copy()
    other[7, 7] += 2e-3
    one, two = ([Tensor("wide", "activation", array), *step()] for array in (values, other))
    outcome = compared(tmp_path, two, one)
    first = outcome.first
    assert first is not None and first.name == "wide" and "largest element" in as_text(outcome)
    assert first.relative < first.tolerance
    assert first.largest_relative > first.largest_tolerance


def test_tensors_come_in_execution_order_and_the_tolerance_grows_with_depth(
    tmp_path: Path,
) -> None:
    found = compared(tmp_path, step()).differences
    assert [item.name for item in found if item.kind == "gradient"] == list(reversed(LAYERS))
    assert found[3].tolerance == pytest.approx(2 * found[0].tolerance)
    tolerance = tolerance_for("float32", "float32")
    assert tolerance.backward(9, 0.0) == tolerance.forward(9)
    assert tolerance.backward(10**4, 1e-6) == pytest.approx(5e-3)
    assert tolerance.backward(9, 0.9) == pytest.approx(5 * tolerance.forward(9) ** 0.5)


@pytest.mark.parametrize(
    "changes, told",
    [
        (
            {"given": inputs(second=np.zeros((6, 6)))},
            "1 of 4 inputs (weight before) differ before the step: second",
        ),
        (
            {"given": inputs()[:-1] + [Tensor("learning_rate", "setting", np.asarray(0.2))]},
            "1 of 1 inputs (setting) differ before the step: learning_rate",
        ),
        ({"other": step()[1:]}, "1 of 13 tensors are in A only (activation first)"),
        ({"network": {"name": "other"}}, "the network differs: A has {'name': 'toy', 'width': 6}"),
        (
            {"other": [Tensor("first", "activation", np.zeros((2, 6))), *step()[1:]]},
            "activation first is [8, 6] in A, [2, 6] in B",
        ),
    ],
)
def test_what_is_not_the_same_computation_is_inconclusive_and_told(
    changes: Dict[str, Any], told: str, tmp_path: Path
) -> None:
    outcome = compared(tmp_path, **{"other": step(), **changes})
    assert outcome.verdict == INCONCLUSIVE
    (obstacle,) = outcome.obstacles
    assert obstacle.startswith(told)


# --- the command ---


@pytest.fixture()
def runs(tmp_path: Path) -> Path:
    """A folder with run a, and the runs that are compared with it."""
    write(tmp_path / "a", step())
    write(tmp_path / "near", step("float32"))
    wrong = {"framework": "numpy 2", "device": "npu (Ascend 910)", "replayed_from": "a"}
    write(tmp_path / "wrong", step(planted="third", size=1e-3), **wrong)
    write(tmp_path / "other", step(), given=inputs(seed=2))
    write(tmp_path / "damaged", step())
    path = tmp_path / "damaged" / "tensors" / "step_00000003" / "tensors.npz"
    path.write_bytes(path.read_bytes()[:-200])
    return tmp_path


def diverge(runs: Path, name: str, *flags: str) -> int:
    return main(["diverge", "--a", str(runs / "a"), "--b", str(runs / name), *flags])


@pytest.mark.parametrize("name, code", [("near", 0), ("wrong", 1), ("other", 2)])
def test_the_exit_code_is_the_verdict(name: str, code: int, runs: Path, capsys: Any) -> None:
    assert diverge(runs, name) == code
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith({0: WITHIN, 1: DIVERGES, 2: INCONCLUSIVE}[code])
    assert (len(told) < 10) is (code == 2)  # what did not compute the same needs no table


@pytest.mark.parametrize(
    "name, flag, told",
    [
        ("nowhere", "", "holds no dump"),
        ("damaged", "", "is damaged"),
        ("wrong", "--relative=nan", "--relative"),
        ("wrong", "--plot={}/none/out.png", "there is no folder"),
    ],
)
def test_what_can_not_be_compared_is_no_verdict(
    name: str, flag: str, told: str, runs: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert diverge(runs, name, *filter(None, [flag.format(runs)])) == 64
    printed = capsys.readouterr()
    assert told in printed.err and printed.err.count("\n") == 1 and not printed.out
    monkeypatch.setattr("common.commands.diverge.compare_dumps", lambda *_: 1 / 0)
    assert diverge(runs, "wrong") == 3
    assert "zoo diverge itself failed" in capsys.readouterr().err.splitlines()[-1]


def test_the_table_is_the_golden_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diverge(runs, "wrong", "--relative", "1e-4")
    text = capsys.readouterr().out
    assert text.replace(str(runs), "RUNS") == GOLDEN.read_text()
    diverge(runs, "wrong", "--relative", "1e-4", "--all")
    assert capsys.readouterr().out.count("\n") > text.count("\n")


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
    (axes,) = picture(outcome).axes
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert "first divergence: activation third" in lines
    assert len(lines["largest element"]) == len(outcome.differences) == 13
    assert lines["gradient: relative L2"].tolist() == [
        item.relative for item in outcome.differences if item.kind == "gradient"
    ]


# --- Dumps on the disk: whole or refused, found by what a user has at hand ---


@pytest.fixture()
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", step())


def read(run: Path) -> Any:
    dump = find_dump(run)
    return list(dump.tensors(dump.index.tensors))


@pytest.mark.parametrize("below", ["", "tensors", "tensors/step_00000003"])
def test_what_was_written_is_found_and_read(below: str, run: Path) -> None:
    dump = find_dump(run / below)
    assert dump.subject.step == 3
    names = [(entry.kind, entry.name) for entry in dump.index.tensors]
    assert names == [(item.kind, item.name) for item in step()]
    assert all(np.array_equal(one, item.values) for one, item in zip(read(run), step()))
    assert np.array_equal(dump.inputs("batch")["images"], inputs()[0].values)


def test_of_several_steps_one_is_to_be_named_and_an_earlier_dump_of_it_is_moved_aside(
    run: Path,
) -> None:
    write(run, step("float32"))
    folders = sorted(path.name for path in (run / "tensors").iterdir())
    assert len(folders) == 2 and folders[1].startswith("step_00000003.")
    assert find_dump(run).index.tensors[0].dtype == "float32"
    write(run, step(), step=7)
    with pytest.raises(UsageError, match="holds dumps of steps 3, 7"):
        find_dump(run)
    assert find_dump(run, 7).subject.step == 7
    with pytest.raises(UsageError, match="holds no dump of step 9: run with --dump_tensors K"):
        find_dump(run, 9)


def altered(path: Path) -> None:
    with np.load(str(path)) as archive:
        arrays = dict(archive)
    arrays["t00001"][0, 0] += 1e-9
    np.savez(str(path), **arrays)


def other(name: str, value: Any) -> Callable[[Path], Any]:
    """Gives a key of the index or of its subject another value."""

    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        (content if name in content else content["subject"])[name] = value
        path.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    "file, damage, said",
    [
        ("index.json", lambda path: path.write_bytes(path.read_bytes()[:100]), "is damaged"),
        ("index.json", Path.unlink, "holds no dump"),
        ("index.json", other("format", "other"), "is no index of a dump"),
        ("index.json", other("schema_version", 99), "newer version"),
        ("index.json", other("arithmetic", "float8"), "is damaged"),
        ("tensors.npz", altered, "is damaged"),
        ("tensors.npz", lambda path: np.savez(str(path), t00000=np.array([{}])), "is damaged"),
    ],
)
def test_what_is_damaged_or_something_else_is_refused_in_one_line(
    file: str, damage: Callable[[Path], Any], said: str, run: Path
) -> None:
    damage(step_folder(run, 3) / file)
    with pytest.raises(UsageError, match=said) as caught:
        read(run)
    assert "\n" not in str(caught.value)


def test_of_a_large_activation_the_first_samples_are_kept() -> None:
    assert kept_samples((64, 4096)) is None
    assert kept_samples((128, 4096)) == KEPT_ELEMENTS // 4096
    assert kept_samples((4, KEPT_ELEMENTS * 2)) == 1
