"""The networks' test/*.sh and ModelArts entries: the ModelZoo's contract, from any directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.cards.model_card import read_card
from tests.fake_zoo import REPOSITORY

SCRIPTS = sorted(REPOSITORY.glob("*/*/test/train_*.sh"))
NETWORKS = sorted(
    path.parent
    for path in REPOSITORY.glob("*/*/model.yaml")
    if path.parts[-3] in ("PyTorch", "TensorFlow")
)


def run(command, directory):
    environment = dict(os.environ, ZOO_PYTHON=sys.executable)
    return subprocess.run(
        command,
        cwd=str(directory),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        text=True,
    )


def name_of(path):
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
def test_every_network_has_the_contracts_scripts(network):
    names = {path.name for path in (network / "test").glob("*.sh")}
    assert {
        "train_full_1p.sh",
        "train_full_8p.sh",
        "train_performance_1p.sh",
        "train_performance_8p.sh",
        "train_eval_1p.sh",
    } <= names


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_is_short_utf8_with_unix_lines(script):
    content = script.read_bytes()
    assert b"\r" not in content and content.decode("utf-8").count("\n") <= 8
    assert os.access(str(script), os.X_OK)


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_help_is_text_and_exit_code_0(script, tmp_path):
    done = run(["bash", str(script), "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--data_path=DIR" in done.stdout and "--batch_size=N" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_missing_data_path_is_one_line_and_exit_code_1(script, tmp_path):
    done = run(["bash", str(script)], tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "--data_path" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_dry_run_for_npu_prints_here(script, tmp_path):
    weights = tmp_path / "w.pt"
    weights.write_text("")
    card = read_card(script.parent.parent / "model.yaml")
    takes_weights = any(action in script.name for action in ("eval", "finetune"))
    for task in card.tasks.values():
        words = ["bash", str(script), f"--data_path={tmp_path}", "--device=npu", "--dry_run"]
        words += ["--task=" + task.name]
        words += [f"--{task.weights.flag}={weights}"] if takes_weights else []
        done = run(words, tmp_path)
        assert done.returncode == 0, done.stderr
        ranks = 8 if "8p" in script.name else 1
        assert done.stdout.count(" ASCEND_DEVICE_ID=") == ranks


@pytest.mark.parametrize("task", ["object_discovery", "set_prediction"])
def test_slot_attentions_task_decides_entry_point_and_case_name(task, tmp_path):
    script = REPOSITORY / "TensorFlow" / "slot_attention" / "test" / "train_performance_1p.sh"
    done = run(
        [
            "bash",
            str(script),
            "--task=" + task,
            f"--data_path={tmp_path}",
            "--device=cpu",
            "--train_steps=5",
            "--batch_size=3",
            "--resume",
            "--dry_run",
        ],
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert f"case name    slot_attention_{task}_bs3_1p_perf\n" in done.stdout
    words = done.stdout.split()
    assert {
        f"slot_attention.{task}.train",
        "--num_train_steps=5",
        "--batch_size=3",
        "--resume=True",
        "--ranks=1",
        "--device=cpu",
        "--device_id=0",
        "--precision_mode=must_keep_origin_dtype",
    } <= set(words)
    assert "--model_dir={}".format(script.parent / "output" / "0") in words


def test_an_evaluations_batch_has_its_own_name(tmp_path):
    script = REPOSITORY / "TensorFlow" / "slot_attention" / "test" / "train_eval_1p.sh"
    done = run(
        [
            "bash",
            str(script),
            f"--data_path={tmp_path}",
            "--device=cpu",
            "--batch_size=3",
            f"--checkpoint_dir={tmp_path}",
            "--dry_run",
        ],
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "--evaluation_batch_size=3" in done.stdout


def test_a_link_with_a_space_in_its_path_works_from_anywhere(tmp_path):
    folder = tmp_path / "a b"
    folder.mkdir()
    link = folder / "my script.sh"
    link.symlink_to(SCRIPTS[0])
    assert run(["bash", "a b/my script.sh", "--help"], tmp_path).returncode == 0


def test_a_copied_checkout_with_a_space_in_its_path_works(tmp_path):
    copy = tmp_path / "my zoo"
    for folder in ("common", "scripts"):
        copy.mkdir(exist_ok=True)
        (copy / folder).symlink_to(REPOSITORY / folder)
    script = SCRIPTS[0]
    target = copy / script.relative_to(REPOSITORY)
    target.parent.mkdir(parents=True)
    target.write_bytes(script.read_bytes())
    card = script.parent.parent / "model.yaml"
    (target.parent.parent / "model.yaml").write_bytes(card.read_bytes())
    done = run(["bash", str(target), "--help"], tmp_path)
    assert done.returncode == 0, done.stderr


ENTRIES = sorted(REPOSITORY.glob("*/*/modelarts_entry_*.py"))


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_a_modelarts_entry_passes_folders_and_exit_code_on(entry, tmp_path):
    done = run(
        [
            sys.executable,
            str(entry),
            "--data_url",
            str(tmp_path),
            "--train_url",
            str(tmp_path / "results"),
            "--device=npu",
            "--dry_run",
        ],
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "run folder   {}".format(tmp_path / "results" / "output") in done.stdout
    assert f"--data_path={tmp_path}" in done.stdout
    failed = run([sys.executable, str(entry), "--data_url", str(tmp_path / "none")], tmp_path)
    assert failed.returncode == 1


def test_modelarts_has_an_entry_for_accuracy_and_one_for_speed():
    for network in NETWORKS:
        assert {Path(path).name for path in network.glob("modelarts_entry_*.py")} == {
            "modelarts_entry_acc.py",
            "modelarts_entry_perf.py",
        }
