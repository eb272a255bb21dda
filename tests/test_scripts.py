"""The scripts: what they find, what they refuse, what they leave alone, and how they end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SCRIPTS = ("setup.sh", "test.sh", "quickstart.sh")
VERSION = "3.97"  # a version that no machine has


def find_shellcheck():
    beside = Path(sys.executable).parent / "shellcheck"
    return str(beside) if beside.exists() else shutil.which("shellcheck")


# --- finding Pythons


@pytest.mark.parametrize(
    "place, variables",
    [
        ("bin/python3.97", {}),
        ("bin/python3", {}),  # a plain name
        ("home/.pyenv/versions/3.97.2/bin/python3.97", {}),  # behind a shim that fails
        ("pyenv root/versions/3.97.10/bin/python3.97", {"PYENV_ROOT": "pyenv root"}),  # the newest
        ("my env/bin/python3.97", {}),  # of conda's note
        ("uv/cpython-3.97.1-linux/bin/python3.97", {"UV_PYTHON_INSTALL_DIR": "uv"}),
    ],
)
def test_finds_a_python_of_the_version_wherever_one_runs(machine, call, tmp_path, place, variables):
    if place.startswith("bin/"):
        python = machine.bin / place[4:]
    elif place.startswith("home/"):
        python = machine.home / place[5:]
    else:
        python = tmp_path / place
    machine.add(machine.bin / ("python" + VERSION), "exit 127")
    machine.add_python(tmp_path / "pyenv root/versions/3.97.2/bin/python3.97", VERSION)
    (machine.home / ".conda").mkdir(parents=True)
    (machine.home / ".conda/environments.txt").write_text(str(tmp_path / "my env") + "\n")
    machine.add_python(python, VERSION)
    given = {name: str(tmp_path / value) for name, value in variables.items()}
    assert call("find_python", VERSION, **given).stdout == f"{python}\n"


def test_another_version_under_the_right_name_is_none(machine, call):
    machine.add_python(machine.bin / ("python" + VERSION), "3.98")
    found = call("find_python", VERSION)
    assert (found.returncode, found.stdout) == (1, "")


@pytest.mark.parametrize(
    "active, asked, chosen, told",
    [
        ("3.7", "auto", "reference", "active Python is 3.7"),
        (VERSION, "auto", "current", ""),
        ("3.7", "current", "current", ""),  # asked for by name, without a search
    ],
)
def test_auto_takes_reference_where_python_3_7_is_active_and_says_so(
    machine, call, active, asked, chosen, told
):
    machine.add_python(machine.bin / "python3", active)
    found = call("choose_stack", asked)
    assert found.stdout == chosen + "\n" and told in found.stderr


def test_current_prefers_the_python_of_its_lock_and_takes_another_where_there_is_none(
    machine, call
):
    python = machine.add_python(machine.bin / "python3.10", "3.10")
    assert call("find_stack_python", "current").returncode == 1
    assert call("find_other_python", "current").stdout == f"{python}\n"
    assert call("find_other_python", "reference").returncode == 1
    for version in ("3.13", "3.11", "3.12"):
        machine.add_python(machine.bin / ("python" + version), version)
    assert call("find_stack_python", "current").stdout.endswith("/python3.11\n")


# --- arguments


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_the_flags_and_does_nothing(machine, checkout, script):
    told = machine.run("bash", str(checkout / "scripts" / script), "--help")
    assert told.returncode == 0
    assert "usage: scripts/" + script in told.stdout and "--stack" in told.stdout
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    "words, code, told",
    [
        *[(f"{script} --stack=futur", 64, "reference current auto") for script in SCRIPTS],
        ("setup.sh --stakc", 64, "unknown argument --stakc; see --help"),
        ("quickstart.sh --stakc", 64, "unknown argument --stakc; see --help"),
        ("setup.sh --stack", 64, "--stack"),
        ("setup.sh --offline", 64, "--offline"),
        ("setup.sh --stack=current --offline=/no", 1, "--offline: /no is not a folder"),
        ("setup.sh --stack current --cuda", 1, "nvidia-smi"),  # no driver answers
        ("setup.sh --stack reference --cuda", 64, ""),  # it has CUDA already
        ("setup.sh --stack reference", 1, "Python 3.7"),
    ],
)
def test_what_can_not_be_is_one_line(machine, checkout, words, code, told):
    script, *flags = words.split()
    refused = machine.run("bash", str(checkout / "scripts" / script), *flags)
    assert refused.returncode == code
    assert refused.stderr.count("\n") == 1 and told in refused.stderr


# --- environments


@pytest.fixture
def made(machine, checkout, call):
    """An environment of `current` as setup leaves it."""
    folder = checkout / ".venv" / "current"
    machine.add_python(folder / "bin" / "python", "3.11")
    (folder / ".zoo-made").write_text("")
    (folder / ".zoo-stamp").write_text(call("fingerprint", "current", "cpu").stdout)
    return folder


@pytest.fixture
def setup_current(machine, checkout):
    return lambda: machine.run("bash", str(checkout / "scripts/setup.sh"), "--stack=current")


def test_a_second_run_does_nothing_and_an_interrupted_install_is_made_anew(made, setup_current):
    before = sorted(path.name for path in made.parent.iterdir())
    ended = setup_current()
    assert (ended.returncode, ended.stdout) == (0, f"ready: {made}\n")
    assert sorted(path.name for path in made.parent.iterdir()) == before
    (made / ".zoo-installing").write_text("")
    (made / "half").write_text("")
    assert "making it anew" in setup_current().stdout and not (made / "half").exists()


@pytest.mark.parametrize(
    "change", ["ci/locks/current.txt", "pyproject.toml", "PyTorch/another_network/__init__.py"]
)
def test_what_setup_depends_on_makes_the_environment_out_of_date(checkout, made, call, change):
    assert call("is_ready", "current", "cpu").returncode == 0
    assert call("is_ready", "current", "cuda").returncode == 1
    (checkout / change).parent.mkdir(parents=True, exist_ok=True)
    with (checkout / change).open("a") as stream:
        stream.write("# changed\n")
    assert call("is_ready", "current", "cpu").returncode == 1


def test_a_broken_environment_of_the_users_is_left_alone_and_a_failed_install_is_told(
    machine, checkout, setup_current
):
    theirs = checkout / ".venv" / "current"
    theirs.mkdir(parents=True)
    (theirs / "notes.txt").write_text("mine")
    ended = setup_current()
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and "move it away" in ended.stderr
    assert (theirs / "notes.txt").read_text() == "mine"
    fails = 'case "$*" in *"-m pip"*|*uv_as_pip*) exit 1;; *) exit 0;; esac'
    machine.add(theirs / "bin" / "python", fails)
    ended = setup_current()
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert "ci/locks/current.txt" in ended.stderr and "setup-current.log" in ended.stderr
    assert not (theirs / ".zoo-stamp").exists() and not (theirs / ".zoo-installing").exists()


def test_torch_without_cuda_is_never_replaced_by_the_registrys(machine, checkout, setup_current):
    theirs = checkout / ".venv" / "current"
    machine.add(
        theirs / "bin" / "python",
        (
            'case "$*" in *torch-requirements*) echo "$@" >>"{}"; cat "{}" >>"{}"; exit 1;; esac'
        ).format(checkout / "asked", theirs / ".zoo-torch-requirements", checkout / "wanted"),
    )
    ended = setup_current()
    assert ended.returncode == 1
    assert "without CUDA" in ended.stderr and "PIP_FIND_LINKS" in ended.stderr
    assert "--index-url https://download.pytorch.org/whl/cpu" in (checkout / "asked").read_text()
    assert set((checkout / "wanted").read_text().split()) == {"torch==9.9+cpu"}


# --- test.sh and .ci/run


@pytest.fixture
def tested(machine, checkout):
    """A checkout whose setup does nothing and whose pytest ends with $CODE_current, ...

    Run with the arguments of test.sh; gives the ended process.
    """
    machine.add(checkout / "scripts" / "setup.sh", "exit ${CODE_setup:-0}")
    for stack in ("current", "reference"):
        machine.add(
            checkout / ".venv" / stack / "bin" / "python",
            (
                f'case "$*" in *regress*) echo "{stack} gated: $@"; exit ${{CODE_gate:-0}};; '
                f'*pytest*) echo "{stack} ran: $@"; exit ${{CODE_{stack}:-0}};; '
                "*ruff*) exit ${CODE_ruff:-0};; *mypy*) exit ${CODE_mypy:-0};; esac"
            ),
        )

    def run(*arguments, **variables):
        return machine.run("bash", str(checkout / "scripts" / "test.sh"), *arguments, **variables)

    return run


@pytest.fixture
def with_python_3_7(machine):
    machine.add_python(machine.bin / "python3.7", "3.7")


RAN = "{} ran: -m pytest -n auto -m not gpu and not slow\n"


@pytest.mark.parametrize(
    "words, codes, code, told, untold",
    [
        (  # one stack and its fast tests, unless all is asked for
            [],
            {},
            0,
            ["current ran: -m pytest -n auto -m not gpu and not slow and not long", "--all does"],
            ["reference ran", "gated"],
        ),
        (["--all"], {}, 0, [RAN.format("current"), RAN.format("reference")], []),
        (["--stack=current", "--slow", "-k", "two words"], {}, 0, ["not gpu -k two words"], []),
        (  # the gate follows the tests of each stack
            ["--all"],
            {},
            0,
            ["current gated: -m common regress --without_speed --junit", "reference: passed"],
            [],
        ),
        (["--all", "--stack=current", "--no_gate"], {}, 0, [], ["gated"]),
        (["--all", "--stack=current", "-k", "one test"], {}, 0, [], ["gated"]),
        *[
            (["--all", "--stack=current"], {"gate": gate}, code, ["gate on current: " + told], [])
            for gate, code, told in (("1", 1, "FAILED"), ("3", 1, "FAILED"), ("2", 0, "INCONCL"))
        ],
        *[  # any failure fails the whole, and the rest still runs
            (["--all"], {part: "1"}, 1, ["current ran", "reference ran", "FAILED"], [])
            for part in ("current", "reference", "ruff", "mypy")
        ],
        # Nothing tested is a failure.
        (["--stack=current"], {"setup": "1"}, 1, [], ["current ran"]),
        (["--stack=current"], {"current": "5"}, 1, [], []),
        (["--all", "-k", "mistyped"], {"current": "5", "reference": "5"}, 1, [], []),
        (["--all", "-k", "only on current"], {"reference": "5"}, 0, [], []),
    ],
)
def test_stacks_and_gate_are_run_as_asked_for_and_told(
    tested, with_python_3_7, words, codes, code, told, untold
):
    ended = tested(*words, **{"CODE_" + name: value for name, value in codes.items()})
    assert ended.returncode == code
    assert not [text for text in told if text not in ended.stdout], ended.stdout
    assert not [text for text in untold if text in ended.stdout]


def test_reference_is_left_out_and_said_so_where_there_is_no_python_3_7(tested):
    ended = tested("--all")
    assert ended.returncode == 0
    assert "reference: left out" in ended.stdout and "reference ran" not in ended.stdout


def test_ci_points_to_the_shared_datasets_beside_the_checkout(machine, checkout):
    machine.add(checkout / "scripts" / "test.sh", 'echo "data: $ZOO_DATA"')
    (checkout.parent / "shared" / "data").mkdir(parents=True)
    ended = machine.run("bash", str(checkout / ".ci" / "run"))
    assert ended.stdout == "data: {}\n".format(checkout.parent / "shared" / "data")


# --- style


@pytest.mark.skipif(find_shellcheck() is None, reason="shellcheck is not installed")
def test_the_shell_scripts_are_clean():
    scripts = sorted((CHECKOUT / "scripts").glob("*.sh")) + [
        CHECKOUT / "scripts" / "launch",
        CHECKOUT / ".ci" / "run",
    ]
    scripts += sorted(CHECKOUT.glob("*/*/test/*.sh"))
    found = subprocess.run(
        [find_shellcheck(), "-x"] + [str(path) for path in scripts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


# --- gpu_run.sh ------------------------------------------------------------------------------


def test_gpu_run_does_each_part_once_and_goes_on_where_it_stopped(tmp_path):
    python = tmp_path / "python"  # whose second part fails once
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "$@" >> "{tmp_path}/told"\n'
        f'case "$*" in *"-m pytest"*) [ -e "{tmp_path}/second" ] || {{ touch '
        f'"{tmp_path}/second"; exit 3; }};; esac\n'
    )
    python.chmod(0o755)

    def run(*words):
        return subprocess.run(
            ["bash", str(CHECKOUT / "scripts" / "gpu_run.sh"), *words],
            capture_output=True,
            text=True,
            env=dict(os.environ, ZOO_PYTHON=str(python)),
            stdin=subprocess.DEVNULL,
        )

    words = ["--data_path", str(tmp_path), "--output_path", str(tmp_path / "out")]
    assert "--data_path is missing" in run().stderr
    assert run(*words, "--minutes=0").returncode == 75  # more to do
    first = run(*words)
    assert first.returncode == 1 and "parity ended with exit code 3" in first.stderr
    assert run(*words).returncode == 0
    told = (tmp_path / "told").read_text()
    assert told.count("common doctor") == 1
    assert told.count("-m pytest -m gpu") == 2
    assert "launch residual_attention_net full_1p --device=gpu" in told


def test_a_horovod_that_can_not_be_compiled_is_no_failure(call, checkout, machine):
    (checkout / "ci" / "locks" / "reference.txt").write_text("horovod==0.28.1\n")
    done = call("install_horovod", "reference")
    assert done.returncode == 0 and "cmake and g++" in done.stdout
    for tool in ("cmake", "g++", "getconf"):
        machine.add(machine.bin / tool, "exit 0")
    done = call("install_horovod", "reference")
    assert done.returncode == 0 and "did not compile" in done.stdout
    assert call("install_horovod", "current").stdout == ""  # its lock has none


# --- prepare_data.sh


def test_the_words_reach_zoo_data_prepare_in_the_environment_that_is_asked_for(machine, checkout):
    words = ["bash", str(checkout / "scripts" / "prepare_data.sh"), "cifar10"]
    run = machine.run(*words)
    assert run.returncode == 1 and "scripts/setup.sh" in run.stderr and not run.stdout
    python = checkout / ".venv" / "reference" / "bin" / "python"
    machine.add(python, 'printf "%s|" "$PYTHONPATH" "$@"')
    run = machine.run(*words, "--data_path", "/my data")
    told = f"{checkout}|-m|common|data|prepare|cifar10|--data_path|/my data|"
    assert (run.returncode, run.stdout) == (0, told)
    machine.add(machine.bin / "mine", "echo mine")
    assert machine.run(*words, ZOO_PYTHON="mine").stdout == "mine\n"
    assert "usage: scripts/prepare_data.sh NAME" in machine.run(*words[:2], "--help").stdout
