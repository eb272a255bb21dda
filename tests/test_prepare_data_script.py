"""scripts/prepare_data.sh: hands a dataset's name and flags to `zoo data prepare`."""

from __future__ import annotations


def test_the_words_reach_zoo_data_prepare(machine, checkout):
    python = checkout / ".venv" / "reference" / "bin" / "python"
    machine.add(python, 'printf "%s|" "$PYTHONPATH" "$@"')
    run = machine.run(
        "bash", str(checkout / "scripts" / "prepare_data.sh"), "cifar10", "--data_path", "/my data"
    )
    assert run.returncode == 0
    assert run.stdout.split("|")[:-1] == [
        str(checkout),
        "-m",
        "common",
        "data",
        "prepare",
        "cifar10",
        "--data_path",
        "/my data",
    ]


def test_the_environment_that_is_asked_for_goes_first(machine, checkout):
    machine.add(checkout / ".venv" / "current" / "bin" / "python", "echo current")
    machine.add(machine.bin / "mine", "echo mine")
    run = machine.run(
        "bash", str(checkout / "scripts" / "prepare_data.sh"), "cifar10", ZOO_PYTHON="mine"
    )
    assert run.stdout == "mine\n"


def test_without_an_environment_the_remedy_is_named(machine, checkout):
    run = machine.run("bash", str(checkout / "scripts" / "prepare_data.sh"), "cifar10")
    assert run.returncode == 1 and "scripts/setup.sh" in run.stderr and not run.stdout


def test_help_tells_the_flags(machine, checkout):
    run = machine.run("bash", str(checkout / "scripts" / "prepare_data.sh"), "--help")
    assert run.returncode == 0 and "usage: scripts/prepare_data.sh NAME" in run.stdout
