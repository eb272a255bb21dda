"""`zoo launch … --seeds`: one run a seed, what they came to, and going on after an interruption."""

import json
import signal

import pytest

from common.evidence.gate.evidence import judge_soundness, read_runs
from common.evidence.gate.findings import Verdict
from tests.fake_zoo import FakeZoo, marker, process_of, steps_of, wait_until


@pytest.fixture
def zoo(tmp_path):
    root = tmp_path / "a checkout"
    root.mkdir()
    return FakeZoo(root)


def report_of(folder):
    return json.loads((folder / "seeds.json").read_text())


def run_ids(folder, *seeds):
    return [(folder / f"seed_{seed}" / "record.json").stat().st_mtime_ns for seed in seeds]


def argv_of(folder, seed):
    return process_of(folder / f"seed_{seed}")["argv"]


GOLDEN = """\
fake_net/counting full_1p, 3 seeds
  seed  accuracy, percent  run
  0     97.25              complete in seed_0
  2     95.25              complete in seed_2
  1     96.25              complete in seed_1
median 96.25 of 3; 2 of 3 succeeded (accuracy at least 96)
"""


def test_each_seed_runs_in_a_folder_of_its_own_and_the_report_is_the_golden_one(zoo):
    folder = zoo.output / "0"
    done = zoo.launch("full_1p", "--seeds=0,2,1")
    assert done.returncode == 0, done.stderr
    assert (folder / "seeds.txt").read_text() == GOLDEN and done.stdout.endswith(GOLDEN)
    for seed in (0, 1, 2):
        assert marker(folder / f"seed_{seed}")["state"] == "complete"
        assert f"--seed={seed}" in argv_of(folder, seed)
    assert marker(folder)["case"] == "full_1p"
    report = report_of(folder)
    assert report["median"] == 96.25 and report["succeeded"] == 2
    metric = {"name": "accuracy", "unit": "percent", "success": 96.0, "higher_is_better": True}
    assert report["metric"] == metric
    second = dict(report["seeds"][1], reason="", exit_code=0)
    assert second == dict(second, seed=2, value=95.25, succeeded=False, run_folder="seed_2")
    text = (folder / "train_0.log").read_text()  # that of the seed that ran last
    assert "seed 1, weights" in text and "Final Train Accuracy : 96.25" in text
    # An evaluation takes each seed's own weights, one of a single seed those of the last.
    done = zoo.launch("eval_1p")
    assert done.returncode == 0 and "seed_1/ckpt/best.pt is taken" in done.stdout, done.stderr


def test_a_seed_that_fails_keeps_no_other_from_running_and_resume_goes_on_with_it(zoo):
    flags = ["full_1p", "--seeds=0,1,2", "--save_every=5"]
    zoo.launch(*flags, "--bad_seed=1", "--fail_at_step=2")  # before its first checkpoint
    done = zoo.launch(*flags, "--bad_seed=1", "--fail_at_step=8", "--resume")
    folder = zoo.output / "0"
    assert "--resume=True" not in argv_of(folder, 1)  # anew, the failed one moved aside
    assert len(list(folder.glob("seed_1.*"))) == 1
    assert done.returncode == 7 and marker(folder)["state"] == "failed"
    report = report_of(folder)
    assert [seed["state"] for seed in report["seeds"]] == ["complete", "failed", "complete"]
    assert report["median"] == 96.25 and report["succeeded"] == 1
    assert "failed (exit code 7): rank 0 ended with exit code 7" in done.stdout
    finished = run_ids(folder, 0, 2)
    done = zoo.launch("full_1p", "--seeds=0,1,2,5", "--save_every=5", "--resume")  # and one more
    assert done.returncode == 0, done.stderr  # missing the threshold is no failure
    assert run_ids(folder, 0, 2) == finished and marker(folder)["seeds"] == [0, 1, 2, 5]
    assert "--resume=True" in argv_of(folder, 1) and "--resume=True" not in argv_of(folder, 5)
    assert steps_of(folder / "seed_1") == list(range(1, 16))
    assert marker(folder)["state"] == "complete" and report_of(folder)["succeeded"] == 2


def test_a_seed_that_cannot_begin_says_why_and_is_of_the_machine_to_the_gate(zoo, tmp_path):
    folder = tmp_path / "out"
    assert zoo.launch("full_1p", "--seeds=0", f"--output_path={folder}").returncode == 0
    (folder / "seed_1").mkdir()
    (folder / "seed_1" / "notes.txt").write_text("of the user")
    done = zoo.launch("full_1p", "--seeds=0,1", f"--output_path={folder}", "--resume")
    why = f"--output_path {folder / 'seed_1'} is not empty and holds no run"
    assert done.returncode == 1 and why in done.stderr
    assert list(marker(folder)["not_begun"]) == ["seed_1"]
    begun, other = read_runs(folder)
    assert begun.record is not None and begun.marker.state == "complete"
    (ending,) = judge_soundness(other)
    assert ending.verdict is Verdict.INFRA and why in ending.measured
    assert [path.name for path in (folder / "seed_1").glob("[!.]*")] == ["notes.txt"]


def test_a_live_launch_keeps_its_folder_and_an_interrupt_starts_no_other_seed(zoo):
    process = zoo.start("full_1p", "--seeds=0,1", "--step_seconds=0.3")
    folder = zoo.output / "0"
    wait_until(lambda: steps_of(folder / "seed_0"))
    second = zoo.launch("full_1p")
    assert second.returncode == 1 and "is in use by process" in second.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert [seed["state"] for seed in report_of(folder)["seeds"]] == ["interrupted", "not run"]
    assert marker(folder)["state"] == "interrupted" and not (folder / "seed_1").exists()


def test_an_output_path_holds_all_seeds_and_what_is_moved_aside_keeps_its_own_logs(zoo, tmp_path):
    folder = tmp_path / "out"
    for seeds in ("0,1", "2,3"):
        done = zoo.launch("full_1p", "--seeds=" + seeds, f"--output_path={folder}")
        assert done.returncode == 0, done.stderr
    (earlier,) = tmp_path.glob("out.*")
    for run, seed in ((earlier, 0), (earlier, 1), (folder, 2), (folder, 3)):
        log = run / f"seed_{seed}" / "train_0.log"
        assert log.is_symlink() and f"seed {seed}, weights" in log.read_text()
    assert (folder / "seeds.json").is_file()
    done = zoo.launch("eval_1p", "--seeds=2,3", f"--output_path={folder}")
    assert done.returncode == 0, done.stderr
    newest = max(tmp_path.glob("out.*"))
    for seed in (2, 3):
        assert f"--pth_path={newest}/seed_{seed}/ckpt/best.pt" in argv_of(folder, seed)


def test_a_dry_run_prints_the_plan_of_every_seed_and_writes_nothing(zoo):
    plans = json.loads(zoo.launch("full_1p", "--seeds=0,1", "--dry_run", "--json").stdout)
    assert [plan["arguments"]["seed"] for plan in plans] == ["0", "1"] and not zoo.output.exists()


def test_seeds_go_with_neither_one_seed_nor_several_machines(zoo):
    for others in (["--seed=3"], ["--nnodes=2", "--master_addr=127.0.0.1"]):
        done = zoo.launch("full_1p", "--seeds=0,1", *others)
        assert done.returncode == 64 and "--seeds" in done.stderr and not zoo.output.exists()


def test_resuming_seeds_where_there_is_one_run_is_refused_and_the_other_way_round(zoo):
    zoo.launch("full_1p", "--train_steps=1")
    refused = zoo.launch("full_1p", "--seeds=0,1", "--resume")
    assert refused.returncode == 1 and "not one of several seeds" in refused.stderr
    inside = zoo.output / "0" / "inside"  # below the contract's folder, which never moves for it
    done = zoo.launch("full_1p", f"--output_path={inside}", "--train_steps=1")
    assert done.returncode == 0 and marker(inside)["state"] == "complete" and not zoo.earlier()
    zoo.launch("full_1p", "--seeds=0,1", "--train_steps=1")
    refused = zoo.launch("full_1p", "--resume")
    assert refused.returncode == 1 and "give --seeds=0,1 too" in refused.stderr
