"""scripts/quickstart.sh: what it runs for each network, with stand-ins for setup and Python."""

from __future__ import annotations

from pathlib import Path

import pytest

STAND_IN = """
case "$1" in
  */smoke_cases.py) printf 'first/task smoke\\nsecond/one smoke\\nsecond/two smoke\\n' ;;
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


def test_every_task_with_a_smoke_case_is_trained_in_a_folder_of_its_own(calls):
    assert [call for call in calls if " launch " in call] == [
        "-m common launch first/task smoke --output_path=out/first_task/smoke",
        "-m common launch second/one smoke --output_path=out/second_one/smoke",
        "-m common launch second/two smoke --output_path=out/second_two/smoke",
    ]


def test_visualize_is_run_where_a_network_has_one_and_nowhere_else(calls):
    assert [call for call in calls if "visualize" in call] == [
        "-m first.visualize --run_folder=out/first_task/smoke"
    ]


def test_an_interrupted_run_shows_what_it_has(machine, checkout):
    (checkout / "scripts" / "setup.sh").write_text("#!/usr/bin/env bash\n")
    broken = STAND_IN.replace("  *)", "  *second/one*) exit 3 ;;\n  *)").replace(
        '"$1" in', '"$*" in'
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
