"""The launcher with real processes of a fake network."""

import json
import os
import re
import signal
import time

import pytest

from common.runs.record import to_json
from common.runs.store import verified_record
from tests.fake_zoo import (
    FakeZoo,
    is_alive,
    marker,
    process_of,
    steps_of,
    stop,
    wait_until,
)


@pytest.fixture
def zoo(tmp_path):
    root = tmp_path / "a checkout"  # every path of these tests has a space in it
    root.mkdir()
    return FakeZoo(root)


def keys_of(path):
    return dict(line.split(" = ") for line in path.read_text().splitlines())


# --- a good run ---


def test_a_good_run_ends_with_zero_and_is_marked_complete(zoo):
    done = zoo.launch("full_1p")
    assert done.returncode == 0, done.stderr
    assert marker(zoo.output / "0")["state"] == "complete"


def test_output_of_rank_0_is_on_the_terminal_and_in_the_contract_log(zoo):
    done = zoo.launch("full_1p")
    assert "step 15 loss" in done.stdout
    assert "step 15 loss" in (zoo.output / "0" / "train_0.log").read_text()


def test_without_a_terminal_no_progress_line_is_mixed_in(zoo):
    done = zoo.launch("full_1p", "--step_seconds=0.1", "--train_steps=8")
    assert "\x1b" not in done.stdout and "\r" not in done.stdout


def test_final_lines_are_printed_as_the_contract_has_them(zoo):
    lines = zoo.launch("full_1p").stdout.splitlines()
    first = lines.index("------------------ Final result ------------------")
    assert lines[first + 1] == "Final Performance images/sec : 6400.00"
    assert lines[first + 2] == "Final Performance sec/step : 0.010000"
    assert lines[first + 3] == "Final Train Accuracy : 97.25"
    assert re.match(r"E2E Training Duration sec : \d+$", lines[first + 4])


def test_case_file_has_every_key_with_per_device_batch_and_whole_job_rate(zoo):
    zoo.launch("full_8p", "--ranks=2")
    keys = keys_of(zoo.output / "0" / "fake_net_bs32_2p_acc.log")
    assert list(keys) == [
        "Network",
        "RankSize",
        "BatchSize",
        "DeviceType",
        "CaseName",
        "ActualFPS",
        "TrainingTime",
        "TrainAccuracy",
        "ActualLoss",
        "E2ETrainingTime",
    ]
    assert keys["RankSize"] == "2" and keys["BatchSize"] == "32"
    assert keys["ActualFPS"] == "6400.00"  # 2 * 32 samples in each step of 0.01 s
    assert keys["TrainingTime"] == "10.000"  # milliseconds
    assert keys["DeviceType"] == os.uname().machine


def test_both_loss_files_hold_one_loss_a_line(zoo):
    zoo.launch("full_1p", "--train_steps=4")
    for name in ("fake_net_bs64_1p_acc_loss.txt", "train_fake_net_bs64_1p_acc_loss.txt"):
        assert (zoo.output / "0" / name).read_text().split() == [
            "1.000000",
            "0.500000",
            "0.333333",
            "0.250000",
        ]


def test_every_rank_has_its_own_folder_and_log(zoo):
    zoo.launch("full_8p", "--ranks=3")
    for rank in range(3):
        log = zoo.output / "0" / f"rank_{rank}" / f"train_{rank}.log"
        assert f"rank {rank} of fake_net" in log.read_text()


def test_eight_ranks_run_on_the_cpu_when_asked_for(zoo):
    done = zoo.launch("full_8p")
    assert done.returncode == 0, done.stderr
    assert process_of(zoo.output / "0", 7)["environment"]["WORLD_SIZE"] == "8"


def test_record_of_a_good_run_is_complete_and_names_case_and_command(zoo):
    zoo.launch("full_1p")
    record = json.loads((zoo.output / "0" / "record.json").read_text())
    assert record["status"] == "complete" and record["case"] == "full_1p"
    assert record["command"].startswith("zoo launch fake_net full_1p")
    run = verified_record(zoo.output / "0")  # what the events make is what was written
    assert run.contradictions == () and json.loads(to_json(run.record)) == record


def test_performance_case_needs_no_accuracy(zoo):
    done = zoo.launch("performance_1p", "--no_evaluation")
    assert done.returncode == 0, done.stderr
    assert keys_of(zoo.output / "0" / "fake_net_bs8_1p_perf.log")["TrainAccuracy"] == "NA"


def test_missing_accuracy_fails_a_case_that_promises_it(zoo):
    done = zoo.launch("full_1p", "--no_evaluation")
    assert done.returncode == 1 and "no TrainAccuracy" in done.stderr
    assert keys_of(zoo.output / "0" / "fake_net_bs64_1p_acc.log")["TrainAccuracy"] == "NA"


def test_missing_speed_fails_a_performance_case(zoo):
    done = zoo.launch("performance_1p", "--no_steps")
    assert done.returncode == 1 and "no ActualFPS" in done.stderr
    assert keys_of(zoo.output / "0" / "fake_net_bs8_1p_perf.log")["ActualFPS"] == "NA"


def test_the_first_rank_starts_within_three_tenths_of_a_second(zoo):
    seconds = []
    for _ in range(12):  # a busy machine can slow any of them, and none of a quiet one is slow
        zoo.launch("full_1p", "--train_steps=1")
        seconds.append(marker(zoo.output / "0")["launcher_seconds"])
        if seconds[-1] <= 0.3:
            break
    print(f"launcher: {min(seconds)} s until the first rank runs")
    assert min(seconds) <= 0.3


# --- flags ---


def test_flags_reach_the_entry_point_under_its_own_names(zoo):
    zoo.launch("full_1p", "--train_epochs", "2", "--batch_size", "16", "--seed=5")
    argv = process_of(zoo.output / "0")["argv"]
    assert {
        "--total_epochs=2",
        "--train_batch_size=16",
        "--seed=5",
        "--device_type=cpu",
        "--device_num=1",
        "--precision_mode=must_keep_origin_dtype",
    } <= set(argv)


def test_unknown_flag_is_rejected_by_name_by_the_entry_point(zoo):
    done = zoo.launch("full_1p", "--no_such_flag=1")
    assert done.returncode == 64
    assert "--no_such_flag" in done.stderr


def test_relative_paths_are_the_users(zoo):
    zoo.directory = zoo.root / "elsewhere"
    zoo.directory.mkdir()
    command = [word for word in zoo.command("full_1p") if "--data_path" not in word]
    done = zoo.run(command + ["--data_path=../data"])
    assert done.returncode == 0, done.stderr
    assert f"--data_path={zoo.data}" in process_of(zoo.output / "0")["argv"]


def test_default_precision_gives_way_to_its_other_name(zoo):
    zoo.launch("full_1p", "--opt_level=O1")
    assert not any("--precision_mode" in word for word in process_of(zoo.output / "0")["argv"])


def test_paths_that_do_not_exist_are_told_before_anything_is_written(zoo):
    done = zoo.launch("full_1p", "--data_path=nowhere")
    assert done.returncode == 1 and "--data_path" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not zoo.output.exists()


def test_several_ranks_without_accelerators_need_the_cpu_to_be_named(zoo):
    command = [word for word in zoo.command("full_8p") if "--device" not in word]
    done = zoo.run(command, CUDA_VISIBLE_DEVICES="", ASCEND_RT_VISIBLE_DEVICES="")
    assert done.returncode == 64
    assert "8 ranks" in done.stderr and "--device cpu" in done.stderr


def test_missing_data_path_is_one_line_and_exit_code_1(zoo):
    for case in ("full_1p", "full_8p"):
        done = zoo.run(zoo.command(case)[:6])
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1 and "--data_path" in done.stderr


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


def test_a_folder_that_is_no_run_is_refused_and_left_alone(zoo):
    folder = zoo.root / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("years of work")
    done = zoo.launch("full_1p", "--output_path=thesis")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert (folder / "chapter.txt").read_text() == "years of work"


def test_an_output_path_that_is_a_file_is_told(zoo):
    (zoo.root / "file").write_text("")
    done = zoo.launch("full_1p", "--output_path=file")
    assert done.returncode == 1 and "is a file" in done.stderr


def test_with_output_path_the_log_stays_at_the_contract_path_linked_from_there(zoo):
    zoo.launch("full_1p", "--output_path=mine")
    contract = zoo.output / "0" / "train_0.log"
    assert "step 15" in contract.read_text()
    assert (zoo.root / "mine" / "train_0.log").resolve() == contract.resolve()
    assert (zoo.root / "mine" / "rank_0" / "train_0.log").resolve() == contract.resolve()
    assert (zoo.root / "mine" / "ckpt" / "best.pt").exists()
    assert keys_of(zoo.output / "0" / "fake_net_bs64_1p_acc.log")["ActualFPS"] == "6400.00"


def test_on_model_arts_the_log_is_collected_with_the_results(zoo):
    place = zoo.root / "train_url" / "output"
    done = zoo.launch("full_1p", f"--output_path={place}", MODELARTS_MODEL_PATH="/home/ma")
    log = place / "train_0.log"
    assert done.returncode == 0 and log.is_file() and not log.is_symlink()
    assert log.read_text() in done.stdout  # the platform's own log


def test_an_earlier_log_that_makes_room_stays_linked_from_its_run(zoo):
    zoo.launch("full_1p", "--output_path=one", "--train_steps=1")
    zoo.launch("full_1p", "--output_path=two", "--train_steps=2")
    assert "step 2" not in (zoo.root / "one" / "train_0.log").read_text()
    assert "step 2" in (zoo.root / "two" / "train_0.log").read_text()


def test_a_second_run_into_a_live_folder_is_refused_with_its_process(zoo):
    first = zoo.start("full_1p", "--step_seconds=0.2", "--train_steps=100")
    wait_until(lambda: steps_of(zoo.output / "0"))
    second = zoo.launch("full_1p")
    assert second.returncode == 1 and len(second.stderr.splitlines()) == 1
    assert f"process {first.pid}" in second.stderr
    assert "--output_path" in second.stderr
    stop(first)


def test_another_output_path_goes_on_beside_a_live_run_with_its_own_log(zoo):
    first = zoo.start("full_1p", "--step_seconds=0.2", "--train_steps=100")
    wait_until(lambda: steps_of(zoo.output / "0"))
    second = zoo.launch("full_1p", "--output_path=mine")
    assert second.returncode == 0, second.stderr
    assert "step 15" in (zoo.root / "mine" / "train_0.log").read_text()
    assert "the log is {}".format(zoo.root / "mine" / "train_0.log") in second.stdout
    assert "step 15" not in (zoo.output / "0" / "train_0.log").read_text()
    stop(first)


def test_another_device_id_goes_on_beside_a_live_run(zoo):
    first = zoo.start("full_1p", "--step_seconds=0.2", "--train_steps=100")
    wait_until(lambda: steps_of(zoo.output / "0"))
    assert zoo.launch("full_1p", "--device_id=3").returncode == 0
    assert (zoo.output / "3" / "train_3.log").exists()
    stop(first)


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


def test_the_folder_is_free_again_after_the_launcher_was_killed(zoo):
    first = zoo.start("full_1p", "--step_seconds=0.2", "--train_steps=100")
    wait_until(lambda: steps_of(zoo.output / "0"))
    stop(first, signal.SIGKILL)
    assert zoo.launch("full_1p").returncode == 0


def test_ascend_device_id_names_folder_and_log(zoo):
    zoo.launch("full_1p", ASCEND_DEVICE_ID="5")
    assert (zoo.output / "5" / "train_5.log").exists()


def test_ascend_device_id_that_is_no_number_is_told(zoo):
    done = zoo.launch("full_1p", ASCEND_DEVICE_ID="npu0")
    assert done.returncode == 64 and "ASCEND_DEVICE_ID" in done.stderr


# --- resume and weights ---


def test_resume_goes_on_in_place_and_appends_to_log_and_events(zoo):
    zoo.launch("full_1p", "--train_steps=5", "--fail_at_step=4")
    done = zoo.launch("full_1p", "--train_steps=5", "--resume")
    assert done.returncode == 0, done.stderr
    assert steps_of(zoo.output / "0") == [1, 2, 3, 4, 5]
    assert (zoo.output / "0" / "train_0.log").read_text().count("rank 0 of fake_net") == 2
    assert marker(zoo.output / "0")["sessions"] == 2 and not zoo.earlier()
    assert verified_record(zoo.output / "0").contradictions == ()


def test_the_duration_of_a_resumed_run_is_that_of_all_its_lives(zoo):
    flags = ("full_1p", "--train_steps=30", "--step_seconds=0.1")
    zoo.launch(*flags, "--fail_at_step=28")
    done = zoo.launch(*flags, "--resume")
    keys = keys_of(zoo.output / "0" / "fake_net_bs64_1p_acc.log")
    assert int(keys["E2ETrainingTime"]) >= 3 + int(marker(zoo.output / "0")["seconds"])
    assert f"E2E Training Duration sec : {keys['E2ETrainingTime']}" in done.stdout


def test_resume_with_an_output_path_appends_to_the_contract_log(zoo):
    zoo.launch("full_1p", "--output_path=mine", "--train_steps=5", "--fail_at_step=4")
    zoo.launch("full_1p", "--output_path=mine", "--train_steps=5", "--resume=True")
    assert (zoo.output / "0" / "train_0.log").read_text().count("rank 0 of fake_net") == 2


def test_nothing_to_resume_names_the_newest_earlier_run(zoo):
    zoo.launch("full_1p")
    (zoo.output / "0").rename(zoo.output / "0.20200101T000000Z")
    done = zoo.launch("full_1p", "--resume")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert str(zoo.output / "0.20200101T000000Z") in done.stderr
    assert not (zoo.output / "0").exists()


def test_resume_of_another_case_is_refused(zoo):
    zoo.launch("full_1p")
    done = zoo.launch("performance_1p", "--resume")
    assert done.returncode == 1 and "case full_1p" in done.stderr


def test_evaluation_takes_the_best_weights_of_the_run_it_replaces(zoo):
    zoo.launch("full_1p")
    done = zoo.launch("eval_1p")
    assert done.returncode == 0, done.stderr
    (moved,) = zoo.earlier()
    weights = moved / "ckpt" / "best.pt"
    assert f"--pth_path={weights}" in process_of(zoo.output / "0")["argv"]
    assert f"is now {weights}" in done.stdout
    keys = keys_of(zoo.output / "0" / "fake_net_bs128_1p_eval.log")
    assert keys["TrainAccuracy"] == "97.25" and keys["ActualFPS"] == "NA"


def test_evaluation_finds_the_weights_of_a_run_elsewhere_whose_log_is_here(zoo):
    zoo.launch("full_1p", "--output_path=mine")
    zoo.launch("eval_1p")
    assert (
        "--pth_path={}".format(zoo.root / "mine" / "ckpt" / "best.pt")
        in process_of(zoo.output / "0")["argv"]
    )


def test_evaluation_into_a_new_folder_takes_the_weights_of_the_last_run(zoo):
    zoo.launch("full_1p")
    done = zoo.launch("eval_1p", "--output_path=mine")
    assert done.returncode == 0, done.stderr
    assert (
        "--pth_path={}".format(zoo.earlier()[0] / "ckpt" / "best.pt")
        in process_of(zoo.root / "mine")["argv"]
    )


def test_a_second_evaluation_still_finds_the_weights(zoo):
    zoo.launch("full_1p")
    zoo.launch("eval_1p")
    assert zoo.launch("eval_1p").returncode == 0


def test_evaluation_without_any_weights_is_told(zoo):
    done = zoo.launch("eval_1p")
    assert done.returncode == 1 and "--pth_path" in done.stderr


def test_a_given_path_into_the_folder_that_moves_follows_it(zoo):
    zoo.launch("full_1p")
    weights = zoo.output / "0" / "ckpt" / "step_15.pt"
    done = zoo.launch("eval_1p", "--pth_path", str(weights))
    moved = zoo.earlier()[0] / "ckpt" / "step_15.pt"
    assert f"--pth_path={moved}" in process_of(zoo.output / "0")["argv"]
    assert str(moved) in done.stdout


# --- failures ---


@pytest.mark.parametrize("flag, code", [("--fail_at_step=2", 7), ("--kill_at_step=2", 137)])
def test_the_first_rank_that_fails_stops_all_within_five_seconds(zoo, flag, code):
    began = time.monotonic()
    done = zoo.launch(
        "full_8p",
        "--ranks=3",
        flag,
        "--bad_rank=1",
        "--step_seconds=0.2",
        "--train_steps=200",
        "--ignore_sigterm",
    )
    assert done.returncode == code
    assert time.monotonic() - began < 8  # start-up and two steps are in it
    for rank in range(3):
        assert not is_alive(process_of(zoo.output / "0", rank)["pid"])


def test_a_failed_rank_is_named_with_its_last_lines_and_log(zoo):
    done = zoo.launch("full_8p", "--ranks=2", "--fail_at_step=2", "--bad_rank=1")
    log = zoo.output / "0" / "rank_1" / "train_1.log"
    assert "error: asked to fail" in done.stderr
    assert done.stderr.splitlines()[-1] == f"error: rank 1 ended with exit code 7; its log is {log}"


def test_a_failed_run_leaves_an_aborted_record_and_no_figures(zoo):
    done = zoo.launch(
        "full_8p",
        "--ranks=2",
        "--fail_at_step=12",
        "--bad_rank=1",
        "--step_seconds=0.02",
        "--train_steps=100",
    )
    folder = zoo.output / "0"
    assert marker(folder)["state"] == "failed" and marker(folder)["exit_code"] == 7
    assert json.loads((folder / "record.json").read_text())["status"] == "aborted"
    keys = keys_of(folder / "fake_net_bs32_2p_acc.log")
    assert keys["ActualFPS"] == "NA" and keys["TrainAccuracy"] == "NA"
    assert "Final Performance" not in done.stdout


def test_a_rank_that_hangs_stops_all_and_the_one_furthest_behind_is_named(zoo):
    began = time.monotonic()
    done = zoo.launch(
        "full_8p",
        "--ranks=2",
        "--hang_at_step=3",
        "--bad_rank=1",
        "--step_seconds=0.2",
        "--train_steps=1000",
        "--hang_timeout=2",
        "--ignore_sigterm",
    )
    assert done.returncode == 124
    assert time.monotonic() - began < 15
    assert "rank 1 hangs" in done.stderr and "at step 2" in done.stderr


def test_hang_timeout_zero_never_stops_a_quiet_rank(zoo):
    done = zoo.launch("full_1p", "--train_steps=1", "--step_seconds=2", "--hang_timeout=0")
    assert done.returncode == 0


def test_what_a_rank_started_ends_with_it(zoo):
    zoo.launch("full_1p", "--leave_a_child")
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
    job = zoo.start("full_8p", "--ranks=2", "--step_seconds=0.1", "--train_steps=500")
    wait_until(lambda: steps_of(zoo.output / "0", 0) and steps_of(zoo.output / "0", 1))
    assert stop(job, number) == code
    assert list((zoo.output / "0" / "ckpt").glob("step_*.pt"))
    assert marker(zoo.output / "0")["state"] == "interrupted"
    assert json.loads((zoo.output / "0" / "record.json").read_text())["status"] == "aborted"


def test_ranks_that_do_not_end_within_the_grace_are_killed(zoo):
    job = zoo.start(
        "full_1p", "--step_seconds=0.1", "--train_steps=500", "--ignore_sigterm", "--grace=1"
    )
    wait_until(lambda: steps_of(zoo.output / "0"))
    pid = process_of(zoo.output / "0")["pid"]
    began = time.monotonic()
    assert stop(job, signal.SIGTERM) == 143
    assert time.monotonic() - began < 5 and not is_alive(pid)


def test_a_second_interrupt_does_not_wait_for_the_grace(zoo):
    job = zoo.start("full_1p", "--step_seconds=0.1", "--train_steps=500", "--ignore_sigterm")
    wait_until(lambda: steps_of(zoo.output / "0"))
    job.send_signal(signal.SIGINT)
    time.sleep(0.5)
    began = time.monotonic()
    assert stop(job, signal.SIGINT) == 130
    assert time.monotonic() - began < 5


def test_ranks_do_not_outlive_a_launcher_that_is_killed(zoo):
    job = zoo.start(
        "full_8p", "--ranks=2", "--step_seconds=0.1", "--train_steps=500", "--ignore_sigterm"
    )
    wait_until(lambda: steps_of(zoo.output / "0", 0) and steps_of(zoo.output / "0", 1))
    pids = [process_of(zoo.output / "0", rank)["pid"] for rank in range(2)]
    stop(job, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 5)


def test_a_port_in_use_is_told_in_one_line(zoo):
    import socket

    with socket.socket() as server:
        server.bind(("", 0))
        server.listen(1)
        done = zoo.launch("full_8p", "--ranks=2", f"--master_port={server.getsockname()[1]}")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "in use" in done.stderr and not zoo.output.exists()


def test_more_ranks_than_accelerators_is_told(zoo):
    command = [word for word in zoo.command("full_8p") if "--device" not in word]
    done = zoo.run(command + ["--device=npu"])
    assert done.returncode == 64 and "--device npu" in done.stderr


def test_an_output_path_that_can_not_be_written_is_told(zoo):
    done = zoo.launch("full_1p", "--output_path=/proc/zoo-run")  # not even the superuser may
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "--output_path /proc/zoo-run can't be written" in done.stderr


# --- dry run ---


def test_a_dry_run_writes_nothing(zoo):
    done = zoo.launch("full_8p", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert not zoo.output.exists() and "rank 7 (device 7)" in done.stdout


def test_a_dry_run_as_json_is_the_plan(zoo):
    plan = json.loads(zoo.launch("full_8p", "--dry_run", "--json", "--output_path=mine").stdout)
    assert plan["world_size"] == 8 and len(plan["ranks"]) == 8
    assert plan["run_folder"] == str(zoo.root / "mine")


def test_json_without_a_dry_run_is_told(zoo):
    assert zoo.launch("full_1p", "--json").returncode == 64 and not zoo.output.exists()


def test_a_reader_that_goes_away_does_not_change_the_exit_code(zoo):
    job = zoo.start("full_1p", "--step_seconds=0.1")
    job.stdout.close()
    assert job.wait(timeout=30) == 0
    job.stderr.close()
    assert "Final Train Accuracy" in (zoo.output / "0" / "train_0.log").read_text()


# --- environment and cores of the processes ---


def test_ranks_get_their_identity_and_lose_what_must_not_be_there(zoo):
    zoo.launch("full_8p", "--ranks=2", CM_CHIEF_IP="1.2.3.4", TORCHELASTIC_RUN_ID="old")
    environment = process_of(zoo.output / "0", 1)["environment"]
    assert environment["RANK"] == environment["LOCAL_RANK"] == "1"
    assert "CM_CHIEF_IP" not in environment and "TORCHELASTIC_RUN_ID" not in environment


def test_one_rank_has_no_leftovers_of_a_job_of_many(zoo):
    zoo.launch("full_1p", RANK="3", WORLD_SIZE="8", RANK_TABLE_FILE="/old.json")
    environment = process_of(zoo.output / "0")["environment"]
    assert not {"RANK", "WORLD_SIZE", "RANK_TABLE_FILE"} & set(environment)


def test_a_variable_of_the_users_wins_over_a_default(zoo):
    zoo.launch("full_8p", "--ranks=2", OMP_NUM_THREADS="3")
    assert process_of(zoo.output / "0")["environment"]["OMP_NUM_THREADS"] == "3"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_ranks_are_bound_to_different_cores(zoo):
    zoo.launch("full_8p", "--ranks=2")
    first, second = (set(process_of(zoo.output / "0", rank)["cores"]) for rank in range(2))
    assert first and second and not first & second


def test_one_rank_is_not_bound(zoo):
    zoo.launch("full_1p", "--bind_core=1")
    assert set(process_of(zoo.output / "0")["cores"]) == set(os.sched_getaffinity(0))
