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


def test_finds_a_python_that_runs_on_the_path(machine, call):
    python = machine.add_python(machine.bin / ("python" + VERSION), VERSION)
    assert call("find_python", VERSION).stdout == f"{python}\n"


def test_finds_a_python_of_the_version_under_a_plain_name(machine, call):
    python = machine.add_python(machine.bin / "python3", VERSION)
    assert call("find_python", VERSION).stdout == f"{python}\n"


def test_passes_over_a_shim_that_fails_and_finds_pyenvs_own(machine, call):
    machine.add(machine.bin / ("python" + VERSION), "exit 127")
    folder = machine.home / ".pyenv" / "versions" / (VERSION + ".2") / "bin"
    python = machine.add_python(folder / ("python" + VERSION), VERSION)
    assert call("find_python", VERSION).stdout == f"{python}\n"


def test_takes_pyenvs_newest_release(machine, call, tmp_path):
    for release in (".2", ".10"):
        folder = tmp_path / "pyenv root" / "versions" / (VERSION + release) / "bin"
        machine.add_python(folder / ("python" + VERSION), VERSION)
    found = call("find_python", VERSION, PYENV_ROOT=str(tmp_path / "pyenv root"))
    assert VERSION + ".10" in found.stdout


def test_passes_over_another_version_under_the_right_name(machine, call):
    machine.add_python(machine.bin / ("python" + VERSION), "3.98")
    found = call("find_python", VERSION)
    assert (found.returncode, found.stdout) == (1, "")


def test_finds_the_environments_conda_keeps_a_note_of(machine, call, tmp_path):
    python = machine.add_python(tmp_path / "my env" / "bin" / ("python" + VERSION), VERSION)
    machine.add(machine.home / ".conda" / "environments.txt", "")
    (machine.home / ".conda" / "environments.txt").write_text(str(tmp_path / "my env") + "\n")
    assert call("find_python", VERSION).stdout == f"{python}\n"


def test_finds_uvs_pythons(machine, call, tmp_path):
    folder = tmp_path / "uv" / f"cpython-{VERSION}.1-linux" / "bin"
    python = machine.add_python(folder / ("python" + VERSION), VERSION)
    found = call("find_python", VERSION, UV_PYTHON_INSTALL_DIR=str(tmp_path / "uv"))
    assert found.stdout == f"{python}\n"


def test_auto_takes_reference_where_python_3_7_is_active_and_says_so(machine, call):
    machine.add_python(machine.bin / "python3", "3.7")
    chosen = call("choose_stack", "auto")
    assert chosen.stdout == "reference\n"
    assert "active Python is 3.7" in chosen.stderr


@pytest.mark.parametrize("active", ["python3.7", "python3.97"])
def test_auto_takes_current_elsewhere(machine, call, active):
    machine.add_python(machine.bin / active, active[len("python") :])
    assert call("choose_stack", "auto").stdout == "current\n"


def test_a_python_outside_the_lock_is_taken_where_there_is_no_other(machine, call):
    python = machine.add_python(machine.bin / "python3.10", "3.10")
    assert call("find_stack_python", "current").returncode == 1
    assert call("find_other_python", "current").stdout == f"{python}\n"
    assert call("find_other_python", "reference").returncode == 1


def test_a_stack_asked_for_by_name_is_taken_without_a_search(machine, call):
    machine.add_python(machine.bin / "python3.7", "3.7")
    chosen = call("choose_stack", "current")
    assert (chosen.stdout, chosen.stderr) == ("current\n", "")


def test_current_prefers_the_python_of_its_lock(machine, call):
    for version in ("3.13", "3.11", "3.12"):
        machine.add_python(machine.bin / ("python" + version), version)
    assert call("find_stack_python", "current").stdout.endswith("/python3.11\n")


# --- arguments


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_tells_the_flags_and_does_nothing(machine, checkout, script, flag):
    told = machine.run("bash", str(checkout / "scripts" / script), flag)
    assert told.returncode == 0
    assert "usage: scripts/" + script in told.stdout and "--stack" in told.stdout
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_stack_is_a_usage_error_that_names_those_there_are(machine, checkout, script):
    refused = machine.run("bash", str(checkout / "scripts" / script), "--stack=futur")
    assert refused.returncode == 64
    assert refused.stderr.count("\n") == 1 and "reference current auto" in refused.stderr


@pytest.mark.parametrize("script", ["setup.sh", "quickstart.sh"])
def test_an_unknown_flag_is_a_usage_error_that_names_it(machine, checkout, script):
    refused = machine.run("bash", str(checkout / "scripts" / script), "--stakc")
    assert refused.returncode == 64
    assert refused.stderr == "error: unknown argument --stakc; see --help\n"


@pytest.mark.parametrize("flag", ["--stack", "--offline"])
def test_a_flag_without_its_value_is_a_usage_error(machine, checkout, flag):
    refused = machine.run("bash", str(checkout / "scripts" / "setup.sh"), flag)
    assert refused.returncode == 64
    assert flag in refused.stderr


def test_an_offline_folder_that_is_absent_is_named(machine, checkout):
    refused = machine.run(
        "bash",
        str(checkout / "scripts" / "setup.sh"),
        "--stack=current",
        "--offline=/no/such folder",
    )
    assert refused.returncode == 1
    assert refused.stderr == "error: --offline: /no/such folder is not a folder\n"


def test_cuda_is_refused_where_no_driver_answers(machine, checkout):
    refused = machine.run(
        "bash", str(checkout / "scripts" / "setup.sh"), "--stack", "current", "--cuda"
    )
    assert refused.returncode == 1
    assert "nvidia-smi" in refused.stderr


def test_cuda_is_a_usage_error_on_a_stack_that_carries_it_already(machine, checkout):
    refused = machine.run(
        "bash", str(checkout / "scripts" / "setup.sh"), "--stack", "reference", "--cuda"
    )
    assert refused.returncode == 64


def test_setup_names_the_remedy_where_no_python_3_7_is_found(machine, checkout):
    refused = machine.run("bash", str(checkout / "scripts" / "setup.sh"), "--stack", "reference")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "Python 3.7" in refused.stderr and "--stack current" in refused.stderr


# --- environments


@pytest.fixture
def made(machine, checkout, call):
    """An environment of `current` as setup leaves it."""
    folder = checkout / ".venv" / "current"
    machine.add_python(folder / "bin" / "python", "3.11")
    (folder / ".zoo-made").write_text("")
    (folder / ".zoo-stamp").write_text(call("fingerprint", "current", "cpu").stdout)
    return folder


def setup_current(machine, checkout, *flags):
    return machine.run("bash", str(checkout / "scripts" / "setup.sh"), "--stack=current", *flags)


def test_a_second_run_does_nothing(machine, checkout, made):
    before = sorted(path.name for path in made.parent.iterdir())
    ended = setup_current(machine, checkout)
    assert (ended.returncode, ended.stdout) == (0, f"ready: {made}\n")
    assert sorted(path.name for path in made.parent.iterdir()) == before


@pytest.mark.parametrize("change", ["ci/locks/current.txt", "pyproject.toml"])
def test_a_changed_lock_or_project_file_makes_the_environment_out_of_date(
    checkout, made, call, change
):
    with (checkout / change).open("a") as stream:
        stream.write("# changed\n")
    assert call("is_ready", "current", "cpu").returncode == 1


def test_a_new_network_makes_the_environment_out_of_date(checkout, made, call):
    network = checkout / "PyTorch" / "another_network"
    network.mkdir(parents=True)
    (network / "__init__.py").write_text("")
    assert call("is_ready", "current", "cpu").returncode == 1


def test_an_environment_made_without_cuda_is_not_ready_for_cuda(made, call):
    assert call("is_ready", "current", "cpu").returncode == 0
    assert call("is_ready", "current", "cuda").returncode == 1


def test_an_interrupted_install_is_not_ready(made, call):
    (made / ".zoo-installing").write_text("")
    assert call("is_ready", "current", "cpu").returncode == 1


def test_an_interrupted_install_is_made_anew(machine, checkout, made):
    (made / ".zoo-installing").write_text("")
    (made / "half").write_text("")
    ended = setup_current(machine, checkout)
    assert "making it anew" in ended.stdout
    assert not (made / "half").exists()


def test_a_broken_environment_of_the_users_is_left_alone(machine, checkout):
    theirs = checkout / ".venv" / "current"
    theirs.mkdir(parents=True)
    (theirs / "notes.txt").write_text("mine")
    ended = setup_current(machine, checkout)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and "move it away" in ended.stderr
    assert (theirs / "notes.txt").read_text() == "mine"


def test_a_failed_install_is_told_in_one_line_that_names_lock_and_log(machine, checkout):
    theirs = checkout / ".venv" / "current"
    machine.add(
        theirs / "bin" / "python", 'case "$*" in *"-m pip"*|*uv_as_pip*) exit 1;; *) exit 0;; esac'
    )
    ended = setup_current(machine, checkout)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "ci/locks/current.txt" in ended.stderr and "setup-current.log" in ended.stderr
    assert not (theirs / ".zoo-stamp").exists() and not (theirs / ".zoo-installing").exists()


def test_torch_without_cuda_is_never_replaced_by_the_registrys(machine, checkout):
    theirs = checkout / ".venv" / "current"
    machine.add(
        theirs / "bin" / "python",
        (
            'case "$*" in *torch-requirements*) echo "$@" >>"{}"; cat "{}" >>"{}"; exit 1;; esac'
        ).format(checkout / "asked", theirs / ".zoo-torch-requirements", checkout / "wanted"),
    )
    ended = setup_current(machine, checkout)
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
    machine.add(checkout / "scripts" / "setup.sh", "exit ${SETUP_CODE:-0}")
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


def test_one_stack_and_its_fast_tests_unless_all_is_asked_for(tested, with_python_3_7):
    ended = tested()
    assert ended.returncode == 0
    assert "current ran: -m pytest -n auto -m not gpu and not slow and not long" in ended.stdout
    assert "reference ran" not in ended.stdout and "gated" not in ended.stdout
    assert "scripts/test.sh --all does" in ended.stdout


def test_all_tests_both_stacks_without_the_slow_tests(tested, with_python_3_7):
    ended = tested("--all")
    assert ended.returncode == 0
    for stack in ("current", "reference"):
        assert stack + " ran: -m pytest -n auto -m not gpu and not slow\n" in ended.stdout


def test_slow_tests_run_on_request_and_other_arguments_reach_pytest(tested):
    ended = tested("--stack=current", "--slow", "-k", "two words")
    assert "current ran: -m pytest -n auto -m not gpu -k two words" in ended.stdout


def test_reference_is_left_out_and_said_so_where_there_is_no_python_3_7(tested):
    ended = tested("--all")
    assert ended.returncode == 0
    assert "reference: left out" in ended.stdout and "reference ran" not in ended.stdout


@pytest.mark.parametrize("failing", ["current", "reference", "ruff", "mypy"])
def test_any_failure_fails_the_whole_and_the_rest_still_runs(tested, with_python_3_7, failing):
    ended = tested("--all", **{"CODE_" + failing: "1"})
    assert ended.returncode == 1
    assert "current ran" in ended.stdout and "reference ran" in ended.stdout
    assert "FAILED" in ended.stdout


def test_the_gate_follows_the_tests_of_each_stack(tested, with_python_3_7):
    ended = tested("--all")
    for stack in ("current", "reference"):
        assert stack + " gated: -m common regress --without_speed --junit" in ended.stdout
        assert f"gate on {stack}: passed" in ended.stdout


@pytest.mark.parametrize(
    "code, exit_code, told", [("1", 1, "FAILED"), ("3", 1, "FAILED"), ("2", 0, "INCONCLUSIVE")]
)
def test_a_regression_fails_the_whole_and_an_open_question_is_said(tested, code, exit_code, told):
    ended = tested("--all", "--stack=current", CODE_gate=code)
    assert ended.returncode == exit_code
    assert "gate on current: " + told in ended.stdout


@pytest.mark.parametrize("words", [["--no_gate"], ["-k", "one test"]])
def test_there_is_no_gate_where_none_is_wanted_or_tests_were_chosen(tested, words):
    assert "gated" not in tested("--all", "--stack=current", *words).stdout


def test_an_environment_that_can_not_be_made_fails(tested):
    assert tested("--stack=current", SETUP_CODE="1").returncode == 1


def test_no_test_at_all_fails(tested):
    assert tested("--stack=current", CODE_current="5").returncode == 1


def test_a_choice_that_no_stack_has_a_test_for_fails(tested, with_python_3_7):
    ended = tested("--all", "-k", "mistyped", CODE_current="5", CODE_reference="5")
    assert ended.returncode == 1
    assert ended.stderr == "error: no test ran\n"


def test_a_choice_that_one_stack_has_no_test_for_passes_on_the_other(tested, with_python_3_7):
    assert tested("--all", "-k", "only on current", CODE_reference="5").returncode == 0


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


def gpu_run(*words, **variables):
    environment = dict(os.environ, **variables)
    return subprocess.run(
        ["bash", str(CHECKOUT / "scripts" / "gpu_run.sh")] + list(words),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def fake_python(folder, answers):
    """A Python that takes every -c for a question about the GPU, and logs what else it is told."""
    path = folder / "python"
    path.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "$@" >> "{folder}/told"\n{answers}\n'
    )
    path.chmod(0o755)
    return str(path)


def test_gpu_run_needs_its_data(tmp_path):
    assert "--data_path is missing" in gpu_run().stderr
    assert "is no folder" in gpu_run("--data_path", str(tmp_path / "none")).stderr


def test_gpu_run_does_each_part_once_and_goes_on_where_it_stopped(tmp_path):
    python = fake_python(
        tmp_path,
        f'case "$*" in *"-m pytest"*) [ -e "{tmp_path}/second" ] || {{ touch '
        f'"{tmp_path}/second"; exit 3; }};; esac',
    )
    words = ["--data_path", str(tmp_path), "--output_path", str(tmp_path / "out")]
    first = gpu_run(*words, ZOO_PYTHON=python)
    assert first.returncode == 1 and "parity ended with exit code 3" in first.stderr
    assert gpu_run(*words, ZOO_PYTHON=python).returncode == 0
    told = (tmp_path / "told").read_text()
    assert told.count("common doctor") == 1
    assert told.count("-m pytest -m gpu") == 2
    assert "launch residual_attention_net full_1p --device=gpu" in told


def test_gpu_run_says_that_there_is_more_to_do_when_its_time_is_up(tmp_path):
    python = fake_python(tmp_path, "exec sleep 100")
    done = gpu_run(
        "--data_path",
        str(tmp_path),
        "--output_path",
        str(tmp_path / "out"),
        "--minutes",
        "0",
        ZOO_PYTHON=python,
    )
    assert done.returncode == 75


def test_without_a_compiler_setup_goes_on_without_horovod_and_says_so(call, checkout):
    (checkout / "ci" / "locks" / "reference.txt").write_text("horovod==0.28.1\n")
    done = call("install_horovod", "reference")
    assert done.returncode == 0
    assert "without Horovod" in done.stdout and "cmake and g++" in done.stdout


def test_a_horovod_that_does_not_compile_is_no_failure_of_setup(call, checkout, machine):
    (checkout / "ci" / "locks" / "reference.txt").write_text("horovod==0.28.1\n")
    for tool in ("cmake", "g++", "getconf"):
        machine.add(machine.bin / tool, "exit 0")
    done = call("install_horovod", "reference")
    assert done.returncode == 0
    assert "compiling horovod==0.28.1" in done.stdout and "did not compile" in done.stdout


def test_a_stack_whose_lock_has_no_horovod_compiles_none(call):
    assert call("install_horovod", "current").stdout == ""
