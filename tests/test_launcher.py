"""The launcher with real processes of a fake network."""

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from common.core.codec import json_text
from common.launch.outcome import losses_of
from common.runs.store import verified_record
from tests.fake_zoo import (
    REPOSITORY,
    FakeZoo,
    is_alive,
    marker,
    process_of,
    steps_of,
    stop,
    wait_until,
)

LONG = ("--step_seconds=0.1", "--train_steps=500")


@pytest.fixture
def zoo(tmp_path):
    root = tmp_path / "a checkout"  # every path of these tests has a space in it
    root.mkdir()
    return FakeZoo(root)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A zoo with a good run of two ranks, and what it printed."""
    zoo = FakeZoo(tmp_path_factory.mktemp("a checkout"))
    return zoo, zoo.launch("full_8p", "--ranks=2", CM_CHIEF_IP="1.2.3.4", TORCHELASTIC_RUN_ID="old")


@pytest.fixture
def live(zoo):
    """A run that goes on until the test ends."""
    process = zoo.start("full_1p", "--step_seconds=1", "--train_steps=100")
    wait_until(lambda: steps_of(zoo.output / "0"))
    yield process
    if process.poll() is None:
        stop(process)


def keys_of(path):
    return dict(line.split(" = ") for line in path.read_text().splitlines())


def argv_of(folder, rank=0):
    return process_of(folder, rank)["argv"]


def refused(done, told, code=1):
    """Whether a launch was refused in one line."""
    assert done.returncode == code and told in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1
    return True


# --- a good run ---


def test_a_good_run_is_complete_and_on_the_terminal_as_in_the_log(good):
    zoo, done = good
    assert done.returncode == 0, done.stderr
    folder = zoo.output / "0"
    assert marker(folder)["state"] == "complete"
    log = (folder / "train_0.log").read_text()
    assert "step 15 loss" in done.stdout and "step 15 loss" in log
    assert "\x1b" not in done.stdout and "\r" not in done.stdout  # no progress line here
    for rank in range(2):
        text = (folder / f"rank_{rank}" / f"train_{rank}.log").read_text()
        assert f"rank {rank} of fake_net" in text
    lines = done.stdout.splitlines()
    first = lines.index("------------------ Final result ------------------")
    assert lines[first + 1 : first + 4] == [
        "Final Performance images/sec : 6400.00",  # 2 * 32 samples in each step of 0.01 s
        "Final Performance sec/step : 0.010000",
        "Final Train Accuracy : 97.25",
    ]
    assert re.match(r"E2E Training Duration sec : \d+$", lines[first + 4])
    assert log.splitlines()[-5:] == lines[first : first + 5]
    assert lines[-1] == f"all of it is in {folder}; to look at it: zoo report '{folder}'"


def test_case_and_loss_files_are_the_contracts(good):
    folder = good[0].output / "0"
    text = (folder / "fake_net_bs32_2p_acc.log").read_text()
    assert re.fullmatch(
        f"Network = fake_net\nRankSize = 2\nBatchSize = 32\nDeviceType = {os.uname().machine}\n"
        "CaseName = fake_net_bs32_2p_acc\nActualFPS = 6400.00\nTrainingTime = 10.000\n"
        "TrainAccuracy = 97.25\nActualLoss = 0.066667\nE2ETrainingTime = [0-9]+\n",
        text,
    )
    for name in ("fake_net_bs32_2p_acc_loss.txt", "train_fake_net_bs32_2p_acc_loss.txt"):
        losses = (folder / name).read_text().split()
        assert losses[:4] == ["1.000000", "0.500000", "0.333333", "0.250000"]


def test_a_step_whose_loss_is_no_number_is_nan_in_the_loss_file():
    told = (1.5, "inf", "nan", None, "low", [])
    losses = losses_of([{"event": "step", "loss": loss} for loss in told])
    assert losses[:2] == [1.5, math.inf] and all(map(math.isnan, losses[2:]))


def test_the_record_is_what_the_events_make(good):
    folder = good[0].output / "0"
    record = json.loads((folder / "record.json").read_text())
    assert record["status"] == "complete" and record["case"] == "full_8p"
    assert record["command"].startswith("zoo launch fake_net full_8p")
    run = verified_record(folder)
    assert run.contradictions == () and json.loads(json_text(run.record)) == record


def test_ranks_have_their_identity_own_cores_and_nothing_of_another_job(good):
    first, second = (process_of(good[0].output / "0", rank) for rank in range(2))
    assert second["environment"]["RANK"] == second["environment"]["LOCAL_RANK"] == "1"
    assert not {"CM_CHIEF_IP", "TORCHELASTIC_RUN_ID"} & set(second["environment"])
    if len(os.sched_getaffinity(0)) > 1:
        assert first["cores"] and not set(first["cores"]) & set(second["cores"])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has nothing to share")
def test_a_rank_takes_the_cores_that_other_work_leaves_and_keeps_their_number_when_resumed(zoo):
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in "12"]
    time.sleep(0.3)
    try:
        done = zoo.launch("full_1p", "--device=cpu")
    finally:
        for other in others:
            other.kill()
    threads = process_of(zoo.output / "0")["environment"]["OMP_NUM_THREADS"]
    assert f"other work holds some of the {len(os.sched_getaffinity(0))} cores" in done.stdout
    assert int(threads) < len(os.sched_getaffinity(0))
    assert "as before: " + threads in zoo.launch("full_1p", "--device=cpu", "--resume").stdout


@pytest.mark.parametrize(
    "case, flag, code, told, name",
    [
        ("performance_1p", "--no_evaluation", 0, "", "fake_net_bs8_1p_perf.log TrainAccuracy"),
        (
            "full_1p",
            "--no_evaluation",
            1,
            "no TrainAccuracy",
            "fake_net_bs64_1p_acc.log TrainAccuracy",
        ),
        ("performance_1p", "--no_steps", 1, "no ActualFPS", "fake_net_bs8_1p_perf.log ActualFPS"),
    ],
)
def test_a_promised_figure_that_is_missing_is_a_failure(zoo, case, flag, code, told, name):
    done = zoo.launch(case, flag)
    assert done.returncode == code and told in done.stderr
    file, key = name.split()
    assert keys_of(zoo.output / "0" / file)[key] == "NA"


# --- flags and what is refused before anything is touched ---


def test_flags_reach_the_entry_point_under_its_own_names_and_paths_are_the_users(zoo):
    zoo.directory = zoo.root / "elsewhere"
    zoo.directory.mkdir()
    command = [word for word in zoo.command("full_1p") if "--data_path" not in word]
    done = zoo.run(command + ["--data_path=../data", "--train_epochs", "2", "--batch-size=16"])
    assert done.returncode == 0, done.stderr
    assert {
        f"--data_path={zoo.data}",
        "--total_epochs=2",
        "--train_batch_size=16",
        "--device_type=cpu",
        "--device_num=1",
        "--precision_mode=must_keep_origin_dtype",
    } <= set(argv_of(zoo.output / "0"))


@pytest.mark.parametrize(
    "network, flag, told",
    [
        ("residual_attention_net", "--totl_epochs=3", "did you mean --total_epochs?"),
        ("slot_attention/set_prediction", "--num-slot=3", "did you mean --num_slots?"),
        ("residual_attention_net", "--log_every=x", "--log_every: expected a whole number"),
    ],
)
def test_a_slip_in_a_networks_flag_is_refused_before_anything_is_touched(
    network, flag, told, tmp_path
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    words = ["launch", network, "smoke", "--device=cpu", f"--output_path={tmp_path / 'run'}", flag]
    done = subprocess.run(
        [sys.executable, "-m", "common", *words],
        cwd=str(REPOSITORY),
        capture_output=True,
        text=True,
    )
    assert refused(done, told, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "case, flags, told, code",
    [
        ("full_1p", ["--data_path=nowhere"], "--data_path", 1),
        ("full_1p", ["--output_path=/proc/zoo-run"], "/proc/zoo-run can't be written", 1),
        ("full_1p", ["--output_path=" + "x" * 300], "longer name than the file system takes", 3),
        ("full_1p", ["--output_path=file"], "is a file", 1),
        ("full_1p", ["--output_path=thesis"], "holds no run", 1),
        ("full_8p", ["--ranks=2", "--master_port=PORT"], "in use", 1),
        ("full_8p", ["--device=npu"], "--device npu", 64),
        ("full_8p", ["--ranks=1000000", "--dry_run"], "at most 4096", 64),
        ("full_1p", ["--json"], "--dry_run", 64),
        ("eval_1p", [], "--pth_path is missing", 1),
    ],
)
def test_what_can_not_be_is_one_line_and_nothing_is_touched(zoo, case, flags, told, code):
    (zoo.root / "file").write_text("")
    (zoo.root / "thesis").mkdir()
    (zoo.root / "thesis" / "chapter.txt").write_text("years of work")
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen(1)
        port = str(server.getsockname()[1])
        done = zoo.launch(case, *(flag.replace("PORT", port) for flag in flags))
    assert refused(done, told, code) and not zoo.output.exists()
    assert [path.name for path in (zoo.root / "thesis").iterdir()] == ["chapter.txt"]


def test_what_the_machine_lacks_and_what_the_case_requires_is_told(zoo):
    command = [word for word in zoo.command("full_8p") if "--device" not in word]
    done = zoo.run(command, CUDA_VISIBLE_DEVICES="", ASCEND_RT_VISIBLE_DEVICES="")
    assert refused(done, "8 ranks need 8 accelerators", 64) and "--device cpu" in done.stderr
    assert refused(zoo.run(command[:6]), "--data_path is missing")
    assert refused(zoo.launch("full_1p", ASCEND_DEVICE_ID="npu0"), "ASCEND_DEVICE_ID", 64)


def test_names_that_are_no_utf8_are_taken_or_told(zoo):
    command = [os.fsencode(word) for word in zoo.command("full_1p")]
    done = zoo.run([*command, b"--output_path=x/\xff"], LC_ALL="POSIX", PYTHONUTF8="0")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


# --- a dry run ---


def test_a_dry_run_writes_nothing_needs_no_data_and_says_what_a_run_would_need(zoo):
    zoo.data.rmdir()
    done = zoo.launch("full_8p", "--dry-run", "--train-steps=7")
    assert done.returncode == 0, done.stderr
    assert f"needs        --data_path={zoo.data} (not here)" in done.stdout
    lines = done.stdout.splitlines()
    differing = [line for line in lines if line.startswith("rank ") and "RANK=" in line]
    assert len(differing) == 7 and "--device_id=7" in differing[-1] and len(lines) < 60
    assert not zoo.output.exists() and zoo.launch("full_1p").returncode == 1
    plan = json.loads(zoo.launch("full_8p", "--dry_run", "--json", "--output_path=mine").stdout)
    assert plan["world_size"] == 8 and len(plan["ranks"]) == 8
    assert plan["run_folder"] == str(zoo.root / "mine")


# --- folders ---


def test_a_finished_run_is_moved_aside_and_nothing_of_it_is_lost(zoo):
    zoo.launch("full_1p")
    before = sorted(path.name for path in (zoo.output / "0").iterdir())
    done = zoo.launch("full_1p")
    assert done.returncode == 0
    (moved,) = zoo.earlier()
    assert sorted(path.name for path in moved.iterdir()) == before
    assert str(moved) in done.stdout
    assert (moved / "rank_0" / "train_0.log").read_text()  # its link still leads to its own log


def test_with_output_path_the_log_stays_at_the_contract_path_linked_from_there(zoo):
    zoo.launch("full_1p", "--output_path=mine", "--train_steps=1")
    contract = zoo.output / "0" / "train_0.log"
    assert "step 1" in contract.read_text()
    assert (zoo.root / "mine" / "train_0.log").resolve() == contract.resolve()
    assert (zoo.root / "mine" / "rank_0" / "train_0.log").resolve() == contract.resolve()
    assert (zoo.root / "mine" / "ckpt" / "best.pt").exists()
    assert keys_of(zoo.output / "0" / "fake_net_bs64_1p_acc.log")["ActualFPS"] == "6400.00"
    zoo.launch("full_1p", "--output_path=two", "--train_steps=2")  # the earlier log makes room
    assert "step 2" not in (zoo.root / "mine" / "train_0.log").read_text()
    assert "step 2" in (zoo.root / "two" / "train_0.log").read_text()


def test_on_model_arts_the_log_is_collected_with_the_results(zoo):
    place = zoo.root / "train_url" / "output"
    done = zoo.launch("full_1p", f"--output_path={place}", MODELARTS_MODEL_PATH="/home/ma")
    log = place / "train_0.log"
    assert done.returncode == 0 and log.is_file() and not log.is_symlink()
    assert log.read_text() in done.stdout  # the platform's own log


def test_a_live_folder_is_refused_and_another_goes_on_beside_it(zoo, live):
    second = zoo.launch("full_1p")
    assert refused(second, f"process {live.pid}") and "--output_path" in second.stderr
    second = zoo.launch("full_1p", "--output_path=mine")
    assert second.returncode == 0, second.stderr
    assert "step 15" in (zoo.root / "mine" / "train_0.log").read_text()
    assert "the log is {}".format(zoo.root / "mine" / "train_0.log") in second.stdout
    assert "step 15" not in (zoo.output / "0" / "train_0.log").read_text()
    assert zoo.launch("full_1p", "--device_id=3").returncode == 0
    assert zoo.launch("full_1p", ASCEND_DEVICE_ID="5").returncode == 0
    assert all((zoo.output / f"{n}" / f"train_{n}.log").exists() for n in (3, 5))
    stop(live, signal.SIGKILL)  # the kernel lets go of the lock
    assert zoo.launch("full_1p").returncode == 0


def test_two_jobs_at_once_meet_at_different_ports(zoo):
    jobs = [
        zoo.start("full_8p", "--ranks=2", "--output_path=" + name, "--step_seconds=0.1")
        for name in ("one", "two")
    ]
    for job in jobs:
        job.communicate(timeout=60)
        assert job.returncode == 0
    ports = [process_of(zoo.root / name)["environment"]["MASTER_PORT"] for name in ("one", "two")]
    assert ports[0] != ports[1]


# --- resume and weights ---


@pytest.mark.parametrize("output", [(), ("--output_path=mine",)])
def test_resume_goes_on_in_place_and_appends_to_log_and_events(zoo, output):
    folder = zoo.root / "mine" if output else zoo.output / "0"
    flags = ("full_1p", "--train_steps=30", "--step_seconds=0.1", *output)
    zoo.launch(*flags, "--fail_at_step=28")
    done = zoo.launch(*flags, "--resume")
    assert done.returncode == 0, done.stderr
    assert steps_of(folder) == list(range(1, 31)) and marker(folder)["sessions"] == 2
    assert (zoo.output / "0" / "train_0.log").read_text().count("rank 0 of fake_net") == 2
    assert not zoo.earlier() and verified_record(folder).contradictions == ()
    keys = keys_of(folder / "fake_net_bs64_1p_acc.log")  # the duration is that of both lives
    assert int(keys["E2ETrainingTime"]) >= 3 + int(marker(folder)["seconds"])
    assert f"E2E Training Duration sec : {keys['E2ETrainingTime']}" in done.stdout


def test_what_can_not_be_resumed_is_told_with_what_could_be(zoo):
    zoo.launch("full_1p", "--train_steps=1")
    assert refused(zoo.launch("performance_1p", "--resume"), "case full_1p")
    (zoo.output / "0").rename(zoo.output / "0.20200101T000000Z")
    assert refused(zoo.launch("full_1p", "--resume"), str(zoo.output / "0.20200101T000000Z"))
    assert not (zoo.output / "0").exists()


def test_evaluation_takes_the_best_weights_of_the_run_it_replaces_again_and_again(zoo):
    zoo.launch("full_1p")
    done = zoo.launch("eval_1p")
    assert done.returncode == 0, done.stderr
    weights = zoo.earlier()[0] / "ckpt" / "best.pt"
    assert f"--pth_path={weights}" in argv_of(zoo.output / "0")
    assert f"is now {weights}" in done.stdout
    keys = keys_of(zoo.output / "0" / "fake_net_bs128_1p_eval.log")
    assert keys["TrainAccuracy"] == "97.25" and keys["ActualFPS"] == "NA"
    assert zoo.launch("eval_1p").returncode == 0
    zoo.launch("full_1p", "--output_path=mine")
    assert zoo.launch("eval_1p").returncode == 0  # those of the last run, wherever it is
    assert f"--pth_path={zoo.root / 'mine' / 'ckpt' / 'best.pt'}" in argv_of(zoo.output / "0")


# --- failures ---


@pytest.mark.parametrize(
    "flags, code, told",
    [
        (["--fail_at_step=2"], 7, "rank 1 ended with exit code 7; its log is LOG"),
        (["--kill_at_step=2"], 137, "rank 1 ended with exit code 137 (SIGKILL); its log is LOG"),
        (
            ["--fail_at_step=2", "--fail_code=0"],
            1,
            "rank 1 ended with exit code 0 without telling the end of its run; its log is LOG",
        ),
        (["--hang_at_step=3", "--hang_timeout=2"], 124, "rank 1 hangs"),
    ],
)
def test_the_first_rank_that_fails_or_hangs_stops_all_and_is_named(zoo, flags, code, told):
    began = time.monotonic()
    words = ["--ranks=3", "--bad_rank=1", "--step_seconds=0.2", "--train_steps=200"]
    done = zoo.launch("full_8p", *words, "--ignore_sigterm", *flags)
    assert done.returncode == code and time.monotonic() - began < 15
    folder = zoo.output / "0"
    log = str(folder / "rank_1" / "train_1.log")
    assert told.replace("LOG", log) in done.stderr.splitlines()[-1]
    assert f"--- last lines of rank 1 ({log})" in done.stderr
    assert not any(is_alive(process_of(folder, rank)["pid"]) for rank in range(3))
    assert marker(folder)["state"] == "failed" and marker(folder)["exit_code"] == code


def test_a_failed_run_leaves_an_aborted_record_and_no_figures(zoo):
    done = zoo.launch("full_1p", "--fail_at_step=12")
    folder = zoo.output / "0"
    assert json.loads((folder / "record.json").read_text())["status"] == "aborted"
    keys = keys_of(folder / "fake_net_bs64_1p_acc.log")
    assert keys["ActualFPS"] == "NA" and keys["TrainAccuracy"] == "NA"
    assert "Final Performance" not in done.stdout and "error: asked to fail" in done.stderr


def test_a_quiet_rank_is_left_alone_where_asked_and_what_it_started_ends_with_it(zoo):
    done = zoo.launch(
        "full_1p", "--train_steps=1", "--step_seconds=2", "--hang_timeout=0", "--leave_a_child"
    )
    assert done.returncode == 0
    child = int((zoo.output / "0" / "rank_0" / "child.pid").read_text())
    wait_until(lambda: not is_alive(child), 5)


@pytest.fixture
def of_a_terminal():
    """SIGHUP has its usual effect on new processes, though nohup may have started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_reach_the_ranks_which_save_and_end(zoo, number, code, of_a_terminal):
    job = zoo.start("full_8p", "--ranks=2", *LONG)
    wait_until(lambda: steps_of(zoo.output / "0", 0) and steps_of(zoo.output / "0", 1))
    assert stop(job, number) == code
    assert list((zoo.output / "0" / "ckpt").glob("step_*.pt"))
    assert marker(zoo.output / "0")["state"] == "interrupted"
    assert json.loads((zoo.output / "0" / "record.json").read_text())["status"] == "aborted"


@pytest.mark.parametrize("grace, twice", [("--grace=1", False), ("--grace=60", True)])
def test_ranks_that_do_not_end_are_killed_after_the_grace_or_a_second_signal(zoo, grace, twice):
    job = zoo.start("full_1p", *LONG, "--ignore_sigterm", grace)
    wait_until(lambda: steps_of(zoo.output / "0"))
    pid, began = process_of(zoo.output / "0")["pid"], time.monotonic()
    if twice:
        job.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    assert stop(job, signal.SIGTERM) == 143
    assert time.monotonic() - began < 8 and not is_alive(pid)


def test_ranks_do_not_outlive_a_launcher_that_is_killed(zoo):
    job = zoo.start("full_8p", "--ranks=2", *LONG, "--ignore_sigterm")
    wait_until(lambda: steps_of(zoo.output / "0", 0) and steps_of(zoo.output / "0", 1))
    pids = [process_of(zoo.output / "0", rank)["pid"] for rank in range(2)]
    stop(job, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 5)


@pytest.mark.parametrize("sink", [">&-", ">&- 2>&-", "> /dev/full", "| true"])
def test_output_that_nobody_takes_is_dropped_and_the_run_goes_on(zoo, sink):
    words = " ".join(f"'{word}'" for word in zoo.command("full_1p", "--step_seconds=0.1"))
    done = zoo.run(["bash", "-c", f"set -o pipefail; {words} {sink}"])
    assert done.returncode == 0, done.stderr
    assert marker(zoo.output / "0")["state"] == "complete"
    assert "Final Train Accuracy" in (zoo.output / "0" / "train_0.log").read_text()
