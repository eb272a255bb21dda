"""`zoo launch … --seeds`: one run a seed, what they came to, and going on after an interruption."""

import json
import signal
import subprocess

import pytest

from tests.fake_zoo import FakeZoo, marker, process_of, steps_of, wait_until


@pytest.fixture
def zoo(tmp_path):
    root = tmp_path / "a checkout"
    root.mkdir()
    return FakeZoo(root)


def report_of(folder):
    return json.loads((folder / "seeds.json").read_text())


def run_ids(folder, seeds):
    return [(folder / f"seed_{seed}" / "record.json").stat().st_mtime_ns for seed in seeds]


GOLDEN = """\
fake_net/counting full_1p, 3 seeds
  seed  accuracy, percent  run
  0     97.25              complete in seed_0
  2     95.25              complete in seed_2
  1     96.25              complete in seed_1
median 96.25 of 3; 2 of 3 succeeded (accuracy at least 96)
"""


def test_each_seed_runs_in_a_folder_of_its_own_and_the_report_is_the_golden_one(zoo):
    done = zoo.launch("full_1p", "--seeds=0,2,1")
    assert done.returncode == 0, done.stderr
    assert (zoo.output / "0" / "seeds.txt").read_text() == GOLDEN
    assert done.stdout.endswith(GOLDEN)
    for seed in (0, 1, 2):
        run = zoo.output / "0" / f"seed_{seed}"
        assert marker(run)["state"] == "complete" and marker(zoo.output / "0")["case"] == "full_1p"
        assert f"--seed={seed}" in process_of(run)["argv"]


def test_the_report_as_json(zoo):
    zoo.launch("full_1p", "--seeds", "0,2")
    report = report_of(zoo.output / "0")
    assert report["median"] == 96.25 and report["succeeded"] == 1
    assert report["metric"] == {
        "name": "accuracy",
        "unit": "percent",
        "success": 96.0,
        "higher_is_better": True,
    }
    assert report["seeds"][1] == {
        "seed": 2,
        "state": "complete",
        "exit_code": 0,
        "value": 95.25,
        "reason": "",
        "succeeded": False,
        "run_folder": "seed_2",
    }


def test_a_seed_that_fails_keeps_no_other_from_running_and_gives_the_exit_code(zoo):
    done = zoo.launch("full_1p", "--seeds=0,1,2", "--bad_seed=1", "--fail_at_step=2")
    assert done.returncode == 7
    report = report_of(zoo.output / "0")
    assert [seed["state"] for seed in report["seeds"]] == ["complete", "failed", "complete"]
    assert report["median"] == 96.25 and report["succeeded"] == 1
    assert "failed (exit code 7): rank 0 ended with exit code 7" in done.stdout


def test_missing_the_threshold_is_no_failure_of_the_launch(zoo):
    done = zoo.launch("full_1p", "--seeds=5,6")
    assert done.returncode == 0 and "0 of 2 succeeded" in done.stdout


def test_resume_leaves_finished_seeds_alone_and_goes_on_with_the_interrupted_one(zoo):
    flags = ["--seeds=0,1,2", "--save_every=5"]
    zoo.launch("full_1p", *flags, "--bad_seed=1", "--fail_at_step=8")
    folder = zoo.output / "0"
    finished = run_ids(folder, (0, 2))
    done = zoo.launch("full_1p", *flags, "--resume")
    assert done.returncode == 0, done.stderr
    assert run_ids(folder, (0, 2)) == finished
    assert "--resume=True" in process_of(folder / "seed_1")["argv"]
    assert steps_of(folder / "seed_1") == list(range(1, 16))
    assert report_of(folder)["median"] == 96.25 and marker(folder)["state"] == "complete"


def test_a_seed_that_ended_before_its_first_checkpoint_begins_anew(zoo):
    zoo.launch("full_1p", "--seeds=0,1", "--bad_seed=1", "--fail_at_step=2")
    done = zoo.launch("full_1p", "--seeds=0,1", "--resume")
    assert done.returncode == 0, done.stderr
    assert not any(
        word.startswith("--resume") for word in process_of(zoo.output / "0" / "seed_1")["argv"]
    )
    assert len(list((zoo.output / "0").glob("seed_1.*"))) == 1  # moved aside, not deleted


def test_a_resumed_launch_takes_further_seeds(zoo):
    zoo.launch("full_1p", "--seeds=0")
    first = run_ids(zoo.output / "0", (0,))
    assert zoo.launch("full_1p", "--seeds=0,3", "--resume").returncode == 0
    assert run_ids(zoo.output / "0", (0,)) == first
    assert marker(zoo.output / "0")["seeds"] == [0, 3]


def test_an_interrupt_ends_the_seed_that_runs_and_starts_no_other(zoo):
    process = zoo.start("full_1p", "--seeds=0,1", "--step_seconds=0.2")
    folder = zoo.output / "0"
    wait_until(lambda: steps_of(folder / "seed_0"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert [seed["state"] for seed in report_of(folder)["seeds"]] == ["interrupted", "not run"]
    assert marker(folder)["state"] == "interrupted" and not (folder / "seed_1").exists()


def test_an_earlier_run_is_moved_aside_with_its_seeds(zoo):
    zoo.launch("full_1p", "--seeds=0")
    assert zoo.launch("full_1p", "--seeds=1").returncode == 0
    assert [path.name for path in zoo.output.glob("0*/seed_*")] and (
        zoo.earlier()[0] / "seed_0"
    ).is_dir()
    assert not (zoo.output / "0" / "seed_0").exists()


def test_a_live_launch_of_seeds_keeps_its_folder(zoo):
    process = zoo.start("full_1p", "--seeds=0,1", "--step_seconds=0.3")
    try:
        wait_until(lambda: steps_of(zoo.output / "0" / "seed_0"))
        second = zoo.launch("full_1p")
        assert second.returncode == 1 and "is in use by process" in second.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_the_contract_log_is_that_of_the_seed_that_ran_last(zoo):
    zoo.launch("full_1p", "--seeds=0,1")
    text = (zoo.output / "0" / "train_0.log").read_text()
    assert "seed 1, weights" in text and "Final Train Accuracy : 96.25" in text


def test_an_output_path_holds_all_seeds_and_the_contract_has_their_logs(zoo, tmp_path):
    folder = tmp_path / "out"
    done = zoo.launch("full_1p", "--seeds=0,1", f"--output_path={folder}")
    assert done.returncode == 0, done.stderr
    assert (folder / "seeds.json").is_file()
    for seed in (0, 1):
        log = folder / f"seed_{seed}" / "train_0.log"
        assert log.is_symlink() and f"seed {seed}, weights" in log.read_text()


def test_seeds_that_are_moved_aside_keep_their_own_logs(zoo, tmp_path):
    folder = tmp_path / "out"
    for seeds in ("0,1", "2,3"):
        done = zoo.launch("full_1p", "--seeds=" + seeds, f"--output_path={folder}")
        assert done.returncode == 0, done.stderr
    (earlier,) = tmp_path.glob("out.*")
    for run, seed in ((earlier, 0), (earlier, 1), (folder, 2), (folder, 3)):
        log = run / f"seed_{seed}" / "train_0.log"
        assert f"seed {seed}, weights" in log.read_text()


def test_a_dry_run_prints_the_plan_of_every_seed_and_writes_nothing(zoo):
    done = zoo.launch("full_1p", "--seeds=0,1", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines() if "--seed=" in line] == [
        "--seed=0",
        "--seed=1",
    ]
    assert not zoo.output.exists()
    plans = json.loads(zoo.launch("full_1p", "--seeds=0,1", "--dry_run", "--json").stdout)
    assert [plan["arguments"]["seed"] for plan in plans] == ["0", "1"]


def test_several_ranks_take_their_seeds_one_after_another(zoo):
    done = zoo.launch("full_8p", "--ranks=2", "--seeds=0,1", "--master_port=29733")
    assert done.returncode == 0, done.stderr
    assert report_of(zoo.output / "0")["median"] == 96.75


def test_an_evaluation_takes_each_seeds_own_weights(zoo):
    zoo.launch("full_1p", "--seeds=0,1")
    done = zoo.launch("eval_1p", "--seeds=0,1")
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        argv = process_of(zoo.output / "0" / f"seed_{seed}")["argv"]
        assert (
            "--pth_path={}".format(zoo.earlier()[0] / f"seed_{seed}" / "ckpt" / "best.pt") in argv
        )


def test_an_evaluation_of_one_seed_finds_the_weights_of_the_last(zoo):
    zoo.launch("full_1p", "--seeds=0,1")
    done = zoo.launch("eval_1p")
    assert done.returncode == 0, done.stderr
    assert "seed_1/ckpt/best.pt is taken" in done.stdout


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--seeds=", "--seeds: expected whole numbers"),
        ("--seeds=0,,1", "--seeds: expected whole numbers"),
        ("--seeds=0,-1", "--seeds: expected whole numbers"),
        ("--seeds=a", "--seeds: expected whole numbers"),
        ("--seeds=1,1", "--seeds: a seed is given twice"),
        ("--seeds", "--seeds needs a value"),
    ],
)
def test_bad_seeds_are_one_line(zoo, flag, told):
    done = zoo.launch("full_1p", flag)
    assert done.returncode == 64 and len(done.stderr.splitlines()) == 1 and told in done.stderr


@pytest.mark.parametrize("others", [["--seed=3"], ["--nnodes=2", "--master_addr=127.0.0.1"]])
def test_seeds_go_with_neither_one_seed_nor_several_machines(zoo, others):
    done = zoo.launch("full_1p", "--seeds=0,1", *others)
    assert done.returncode == 64 and "--seeds" in done.stderr and not zoo.output.exists()


def test_resuming_seeds_where_there_is_one_run_is_refused_and_the_other_way_round(zoo):
    zoo.launch("full_1p")
    refused = zoo.launch("full_1p", "--seeds=0,1", "--resume")
    assert refused.returncode == 1 and "not one of several seeds" in refused.stderr
    zoo.launch("full_1p", "--seeds=0,1")
    refused = zoo.launch("full_1p", "--resume")
    assert refused.returncode == 1 and "give --seeds=0,1 too" in refused.stderr


def test_a_run_below_the_contracts_folder_never_moves_that_folder(zoo):
    zoo.launch("full_1p")
    inside = zoo.output / "0" / "inside"
    done: subprocess.CompletedProcess = zoo.launch("full_1p", f"--output_path={inside}")
    assert done.returncode == 0, done.stderr
    assert marker(inside)["state"] == "complete" and not zoo.earlier()
