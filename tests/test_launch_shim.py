"""scripts/launch: which Python it takes, and that it gets in nobody's way."""

from __future__ import annotations

import os
import resource
import time

import pytest

TELL = 'echo "{}: $*"; echo "PYTHONPATH=$PYTHONPATH"'
ROUNDS = 20
OVERHEAD_SECONDS = 0.02


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


def test_zoo_python_comes_first(machine, checkout, launch, python, tmp_path):
    python("active", "active env")
    environment_of_setup(machine, checkout, "current", 0)
    ended = launch(
        "model",
        "smoke",
        ZOO_PYTHON=str(python("wanted", "my python")),
        VIRTUAL_ENV=str(tmp_path / "active env"),
    )
    assert ended.stdout.startswith("wanted: ")


def test_the_active_virtual_environment_comes_before_those_of_setup(
    machine, checkout, launch, python, tmp_path
):
    python("active", "active env")
    environment_of_setup(machine, checkout, "current", 0)
    assert launch(VIRTUAL_ENV=str(tmp_path / "active env")).stdout.startswith("active: ")


def test_an_active_conda_environment_comes_before_those_of_setup(
    machine, checkout, launch, python, tmp_path
):
    python("conda", "conda env")
    environment_of_setup(machine, checkout, "current", 0)
    ended = launch(CONDA_PREFIX=str(tmp_path / "conda env"), CONDA_DEFAULT_ENV="torch")
    assert ended.stdout.startswith("conda: ")


def test_condas_base_counts_only_where_setup_has_made_nothing(
    machine, checkout, launch, python, tmp_path
):
    python("base", "conda")
    base = {"CONDA_PREFIX": str(tmp_path / "conda"), "CONDA_DEFAULT_ENV": "base"}
    assert launch(**base).stdout.startswith("base: ")
    environment_of_setup(machine, checkout, "reference", 0)
    assert launch(**base).stdout.startswith("reference: ")


@pytest.mark.parametrize("newer, older", [("current", "reference"), ("reference", "current")])
def test_of_setups_environments_the_one_made_last_is_taken(machine, checkout, launch, newer, older):
    environment_of_setup(machine, checkout, newer, 10)
    environment_of_setup(machine, checkout, older, 1000)
    assert launch().stdout.startswith(newer + ": ")


def test_python3_of_the_path_is_the_last_resort(machine, launch):
    machine.add(machine.bin / "python3", TELL.format("plain"))
    assert launch().stdout.startswith("plain: ")


@pytest.mark.parametrize("variables", [{}, {"ZOO_PYTHON": "/no/such python"}])
def test_no_python_is_told_in_one_line(launch, variables):
    ended = launch("model", "smoke", **variables)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert variables.get("ZOO_PYTHON", "python3") in ended.stderr


def test_arguments_arrive_as_they_were_given(machine, launch):
    machine.add(machine.bin / "python3", 'for word; do echo "<$word>"; done')
    ended = launch("model", "full_1p", "--data_path=/my data/*", "")
    assert ended.stdout.splitlines() == [
        "<-m>",
        "<common>",
        "<launch>",
        "<model>",
        "<full_1p>",
        "<--data_path=/my data/*>",
        "<>",
    ]


def test_the_checkout_comes_first_on_the_python_path_and_the_users_own_stays(
    machine, checkout, launch
):
    machine.add(machine.bin / "python3", TELL.format("plain"))
    assert f"PYTHONPATH={checkout}\n" in launch().stdout
    assert f"PYTHONPATH={checkout}:/mine\n" in launch(PYTHONPATH="/mine").stdout


@pytest.mark.parametrize("relative", [False, True])
def test_finds_its_checkout_through_symbolic_links(machine, checkout, launch, tmp_path, relative):
    machine.add(machine.bin / "python3", TELL.format("plain"))
    target = checkout / "scripts" / "launch"
    links = tmp_path / "links"
    links.mkdir()
    (links / "first").symlink_to(os.path.relpath(str(target), str(links)) if relative else target)
    (links / "second").symlink_to("first")
    assert f"PYTHONPATH={checkout}\n" in launch(script=links / "second").stdout


def test_the_exit_code_is_the_launchers(machine, launch):
    machine.add(machine.bin / "python3", "exit 3")
    assert launch().returncode == 3


def test_costs_less_than_twenty_milliseconds_of_processor_time(machine, launch):
    machine.add(machine.bin / "python3", "exit 0")

    def processor_seconds(run):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(ROUNDS):
            run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / ROUNDS

    bare = processor_seconds(lambda: machine.run(str(machine.bin / "python3")))
    assert processor_seconds(launch) - bare < OVERHEAD_SECONDS
