"""The networks' test/*.sh and ModelArts entries: the ModelZoo's contract, from any directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.cards.model_card import read_card
from tests.fake_zoo import REPOSITORY

SCRIPTS = sorted(REPOSITORY.glob("*/*/test/train_*.sh"))
ENTRIES = sorted(REPOSITORY.glob("*/*/modelarts_entry_*.py"))
NETWORKS = [path.parent for path in REPOSITORY.glob("*/*/model.yaml")]
NAMES = ["full_1p", "full_8p", "performance_1p", "performance_8p", "eval_1p"]
SLOT = REPOSITORY / "TensorFlow" / "slot_attention" / "test"


def run(command, directory):
    return subprocess.run(
        [str(word) for word in command],
        cwd=str(directory),
        env=dict(os.environ, ZOO_PYTHON=sys.executable),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def name_of(path):
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
def test_every_network_has_the_contracts_scripts_and_entries(network):
    names = {path.name for path in (network / "test").glob("*.sh")}
    assert {f"train_{name}.sh" for name in NAMES} <= names
    assert len(list(network.glob("modelarts_entry_*.py"))) == 2


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_plans_for_npus_anywhere_and_misses_its_data_in_one_line(script, tmp_path):
    content = script.read_bytes()
    assert b"\r" not in content and content.decode("utf-8").count("\n") <= 8
    assert os.access(str(script), os.X_OK)
    done = run(["bash", script], tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "--data_path" in done.stderr
    task = read_card(script.parent.parent / "model.yaml").task(None)
    words = ["bash", script, f"--data_url={tmp_path}", "--device=npu", "--dry_run"]
    takes_weights = any(action in script.name for action in ("eval", "finetune"))
    done = run(words + ([f"--{task.weights.flag}=w"] if takes_weights else []), tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"--data_path={tmp_path}" in done.stdout
    assert done.stdout.count(" ASCEND_DEVICE_ID=") == (8 if "8p" in script.name else 1)


@pytest.mark.parametrize(
    "script, flags, told",
    [
        (
            f"train_performance_1p.sh --task={task}",
            "--train_steps=5 --batch_size=3 --resume",
            [
                f"case name    slot_attention_{task}_bs3_1p_perf\n",
                f"-m slot_attention.{task}.train\n",
                "--num_train_steps=5\n",
                "--batch_size=3\n",
                "--resume=True\n",
                "--precision_mode=must_keep_origin_dtype\n",
                f"--model_dir={SLOT / 'output' / '0'}\n",
            ],
        )
        for task in ("object_discovery", "set_prediction")
    ]
    + [
        (
            "train_eval_1p.sh",
            "--batch_size=3 --checkpoint=w --train_url=o",
            ["--evaluation_batch_size=3\n", "--checkpoint_dir=", "run folder   "],
        ),
    ],
)
def test_the_task_and_the_action_decide_entry_point_and_names(script, flags, told, tmp_path):
    name, *words = script.split()
    words = [*words, *flags.split(), f"--data_path={tmp_path}", "--device=cpu", "--dry_run"]
    done = run(["bash", SLOT / name, *words], tmp_path)
    assert done.returncode == 0, done.stderr
    assert not [text for text in told if text not in done.stdout]


def test_a_link_and_a_copied_checkout_with_a_space_in_their_paths_work(tmp_path):
    copy, script = tmp_path / "my zoo", SCRIPTS[0]
    target = copy / script.relative_to(REPOSITORY)
    target.parent.mkdir(parents=True)
    for folder in ("common", "scripts"):
        (copy / folder).symlink_to(REPOSITORY / folder)
    for path in (script, script.parent.parent / "model.yaml"):
        (copy / path.relative_to(REPOSITORY)).write_bytes(path.read_bytes())
    (copy / "my script.sh").symlink_to(script)
    for path in (target, Path("my zoo/my script.sh")):
        done = run(["bash", path, "--help"], tmp_path)
        assert done.returncode == 0 and "--data_path PATH" in done.stdout, done.stderr


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_a_modelarts_entry_passes_folders_and_exit_code_on(entry, tmp_path):
    words = [sys.executable, entry, "--train_url", tmp_path / "results", "--data_url"]
    done = run([*words, tmp_path, "--device=npu", "--dry_run"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run folder   {}".format(tmp_path / "results" / "output") in done.stdout
    assert f"--data_path={tmp_path}" in done.stdout
    assert run([*words, tmp_path / "none"], tmp_path).returncode == 1
