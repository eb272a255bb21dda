"""scripts/quickstart.sh with stand-ins for setup and Python; what it shows and runs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import attrs
import pytest

from common.cards.model_card import read_card
from common.core.files import sha256_of

CHECKOUT = Path(__file__).resolve().parent.parent
CARD = CHECKOUT / "PyTorch" / "residual_attention_net" / "model.yaml"
INDEX = json.loads((CHECKOUT / "weights" / "index.json").read_text("utf-8"))
STAND_IN = """
case "$2" in
  cases) printf 'first/task smoke\\nsecond/one smoke\\nsecond/two smoke\\n' ;;
  *) printf '%s\\n' "$*" >>"$HOME/calls" ;;
esac
"""


@pytest.fixture
def calls(machine, checkout):
    """What quickstart ran with the environment's Python, a line a call, `out` for its folder."""
    (checkout / "scripts" / "setup.sh").write_text("#!/usr/bin/env bash\n")
    machine.add(checkout / ".venv" / "current" / "bin" / "python", STAND_IN)
    for folder in ("PyTorch/first", "TensorFlow/second"):
        (checkout / folder).mkdir(parents=True)
    (checkout / "PyTorch" / "first" / "visualize.py").write_text("")
    done = machine.run("bash", str(checkout / "scripts" / "quickstart.sh"), "--stack=current")
    assert done.returncode == 0, done.stderr
    output = str(checkout / "output" / "quickstart")
    return Path(machine.home / "calls").read_text().replace(output, "out").splitlines()


def test_kept_weights_are_shown_before_anything_is_trained(calls):
    assert calls[0].endswith("quickstart.py show out/weights")


def test_every_task_with_a_smoke_case_is_trained_in_a_folder_of_its_own(calls):
    assert [call for call in calls if " launch " in call] == [
        "-m common launch first/task smoke --output_path=out/first_task/smoke",
        "-m common launch second/one smoke --output_path=out/second_one/smoke",
        "-m common launch second/two smoke --output_path=out/second_two/smoke",
    ]


def test_visualize_is_run_where_a_network_has_one_and_nowhere_else(calls):
    assert [call for call in calls if ".visualize" in call] == [
        "-m first.visualize --run_folder=out/first_task/smoke"
    ]


def test_an_interrupted_run_shows_what_it_has(machine, checkout):
    (checkout / "scripts" / "setup.sh").write_text("#!/usr/bin/env bash\n")
    broken = STAND_IN.replace("  cases)", "  *second/one*) exit 3 ;;\n  *cases)").replace(
        '"$2" in', '"$*" in'
    )
    machine.add(checkout / ".venv" / "current" / "bin" / "python", broken)
    done = machine.run("bash", str(checkout / "scripts" / "quickstart.sh"))
    assert done.returncode == 3
    shown = done.stdout[done.stdout.index("== results") :]
    assert "first_task/smoke" in shown and "second_one" not in shown
    assert "bin/activate" in shown and "zoo report" in shown


def test_the_table_of_all_runs_is_shown_at_the_end(calls):
    assert (
        calls[-1] == "-m common table --run out/first_task/smoke out/second_one/smoke "
        "out/second_two/smoke"
    )


# --- scripts/lib/quickstart.py -----------------------------------------------------------------


@pytest.fixture(scope="module")
def program():
    path = CHECKOUT / "scripts" / "lib" / "quickstart.py"
    specification = importlib.util.spec_from_file_location("quickstart", str(path))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_smoke_case_comes_first_and_then_those_named_after_it(program):
    card = read_card(CARD)
    task = card.tasks[card.default_task]
    case = task.cases[card.smoke_case]
    names = ("smoke_export", "full_1p", "smoke_eval", "smoke")
    cases = {name: attrs.evolve(case, name=name) for name in names}
    card = attrs.evolve(card, tasks={task.name: attrs.evolve(task, cases=cases)})
    line = "residual_attention_net/classification "
    assert program.smoke_cases(card) == [line + "smoke", line + "smoke_eval", line + "smoke_export"]
    del cases["smoke"]
    assert program.smoke_cases(card) == []


@pytest.mark.parametrize("name", sorted(INDEX))
def test_the_index_tells_kept_weights_as_they_are_with_a_figure_on_record(program, name):
    assert sha256_of(CHECKOUT / "weights" / name) == INDEX[name]["sha256"]
    assert " on record, " in program.recorded(INDEX[name])


def test_what_cannot_be_shown_is_told_and_the_rest_is(program, tmp_path, capsys):
    told = dict(INDEX["protoattend.npz"], show="common")
    asked = ("protoattend.npz", told, tmp_path / "a")
    assert program.show(program.start(*asked), *asked) != 0
    shown = capsys.readouterr().out
    assert "accuracy 0.9182 on record, 10,000 test samples" in shown and "shown.log" in shown


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(INDEX))
def test_each_of_the_kept_weights_draws_a_picture(program, tmp_path, name):
    pytest.importorskip("torch" if name.startswith("residual") else "tensorflow")
    asked = (name, INDEX[name], tmp_path)
    assert program.show(program.start(*asked), *asked) == 0, (tmp_path / "shown.log").read_text()
    assert list(tmp_path.rglob("*.png"))
