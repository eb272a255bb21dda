"""scripts/launch: which Python it takes, and that it gets in nobody's way."""

from __future__ import annotations

import os
import time

import pytest

TELL = 'echo "{}: $*"; echo "PYTHONPATH=$PYTHONPATH"'


@pytest.fixture
def python(machine, tmp_path):
    """Writes a Python that tells its name, arguments and PYTHONPATH; gives its path."""

    def write(name, *below):
        return machine.add(tmp_path.joinpath(*below) / "bin" / "python", TELL.format(name))

    return write


@pytest.fixture
def launch(machine, checkout):
    def run(*arguments, script=checkout / "scripts" / "launch", **variables):
        return machine.run(str(script), *arguments, **variables)

    return run


def environment_of_setup(machine, checkout, stack, age_seconds):
    folder = checkout / ".venv" / stack
    machine.add(folder / "bin" / "python", TELL.format(stack))
    (folder / ".zoo-stamp").write_text("")
    then = time.time() - age_seconds
    os.utime(str(folder / ".zoo-stamp"), (then, then))


@pytest.mark.parametrize(
    "made, variables, chosen",
    [
        (True, {"ZOO_PYTHON": "env/bin/python", "VIRTUAL_ENV": "other env"}, "env"),
        (True, {"VIRTUAL_ENV": "env"}, "env"),
        (True, {"CONDA_PREFIX": "env", "CONDA_DEFAULT_ENV": "torch"}, "env"),
        (True, {"CONDA_PREFIX": "env", "CONDA_DEFAULT_ENV": "base"}, "reference"),
        (False, {"CONDA_PREFIX": "env", "CONDA_DEFAULT_ENV": "base"}, "env"),
        (False, {}, "plain"),
    ],
)
def test_an_environment_of_the_users_comes_first_but_for_condas_base(
    machine, checkout, launch, python, tmp_path, made, variables, chosen
):
    for name in ("env", "other env"):
        python(name, name)
    machine.add(machine.bin / "python3", TELL.format("plain"))
    if made:
        environment_of_setup(machine, checkout, "reference", 0)
    asked = {
        name: value if name == "CONDA_DEFAULT_ENV" else str(tmp_path / value)
        for name, value in variables.items()
    }
    assert launch("model", "smoke", **asked).stdout.startswith(chosen + ": ")


def test_of_setups_environments_the_one_made_last_is_taken(machine, checkout, launch):
    for current, reference, taken in ((10, 1000, "current"), (1000, 10, "reference")):
        environment_of_setup(machine, checkout, "current", current)
        environment_of_setup(machine, checkout, "reference", reference)
        assert launch().stdout.startswith(taken + ": ")


@pytest.mark.parametrize("variables", [{}, {"ZOO_PYTHON": "/no/such python"}])
def test_no_python_is_told_in_one_line(launch, variables):
    ended = launch("model", "smoke", **variables)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert variables.get("ZOO_PYTHON", "python3") in ended.stderr


def test_arguments_arrive_as_they_were_given_and_the_exit_code_is_the_launchers(machine, launch):
    machine.add(machine.bin / "python3", 'for word; do echo "<$word>"; done; exit 3')
    ended = launch("model", "full_1p", "--data_path=/my data/*", "")
    assert ended.returncode == 3
    told = "<-m> <common> <launch> <model> <full_1p> <--data_path=/my data/*> <>"
    assert " ".join(ended.stdout.splitlines()) == told


def test_the_checkout_comes_first_on_the_python_path_and_the_users_own_stays(
    machine, checkout, launch
):
    machine.add(machine.bin / "python3", TELL.format("plain"))
    assert f"PYTHONPATH={checkout}\n" in launch().stdout
    assert f"PYTHONPATH={checkout}:/mine\n" in launch(PYTHONPATH="/mine").stdout


def test_finds_its_checkout_through_symbolic_links(machine, checkout, launch, tmp_path):
    machine.add(machine.bin / "python3", TELL.format("plain"))
    target = checkout / "scripts" / "launch"
    links = tmp_path / "links"
    links.mkdir()
    (links / "first").symlink_to(target)
    (links / "second").symlink_to(os.path.relpath(str(target), str(links)))
    (links / "third").symlink_to("second")
    for name in ("first", "third"):
        assert f"PYTHONPATH={checkout}\n" in launch(script=links / name).stdout
