"""The record says what the events say, and refuses what is no record."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from common.core.codec import json_text
from common.core.errors import ZooError
from common.core.files import sha256_of
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs.provenance import code_state, shown_command
from tests.run_events import START, evaluation, step, whole_run


def record_of(events: List[Dict[str, Any]]) -> run_record.RunRecord:
    return run_record.from_events(events, "smoke", "zoo launch …")


def test_a_whole_run_is_complete_with_final_and_best_metrics(tmp_path: Path) -> None:
    record = record_of(whole_run())
    assert (record.status, record.reason, record.checkpoint_sha256) == ("complete", "", "e" * 64)
    assert record.metrics.final == {"accuracy": 91.5, "loss": 0.5}
    best = record.metrics.best_on_validation
    assert (best["accuracy"], best["epoch"], best["step"]) == (91.0, 2, 20)
    assert (record.metrics.n_eval, record.metrics.split, record.metrics.step) == (40, "test", 20)
    assert run_record.read_record(run_record.write_record(record, tmp_path)) == record


def test_the_curve_has_a_point_for_each_epoch_and_each_validation() -> None:
    names = ("epoch", "step", "train_loss", "validation_accuracy", "validation_loss")
    points = [(1, 10, 1.0, 51.0, 0.5), (2, 20, 0.5, 52.0, 0.5)]
    curve = record_of(whole_run()).metrics.curve
    assert curve == [dict(zip(names, point)) for point in points]
    early = dict(evaluation("progress", "validation", 1, 40.0), step=5)
    curve = record_of([*whole_run()[:6], early, *whole_run()[6:]]).metrics.curve
    found = [(point["step"], point["validation_accuracy"]) for point in curve]
    assert found == [(5, 40.0), (10, 51.0), (20, 52.0)]


def test_speed_is_all_samples_over_all_seconds_after_the_warm_up() -> None:
    events = [dict(START)] + [step(number, seconds=100.0) for number in range(1, 5)]
    events += [step(number, seconds=0.5 if number % 2 else 1.5) for number in range(5, 21)]
    speed = record_of(events).speed
    assert (speed.warmup_steps, speed.measured_steps) == (4, 16)
    assert speed.samples_per_second == pytest.approx(32 * 16 / 16.0)
    assert (speed.step_seconds_p50, speed.step_seconds_p90) == (1.0, 1.5)
    assert (speed.data_wait, speed.percentiles) == (pytest.approx(0.01), "numpy, linear")
    events[6]["data_seconds"] = None  # unknown where no clock told
    assert record_of(events).speed.data_wait is None


def test_each_life_of_a_resumed_run_has_its_own_warm_up_and_the_pause_is_no_wall_time() -> None:
    events = [dict(START)] + [step(number) for number in range(1, 11)]
    events += [dict(START, time=9000.0, resumed_step=10)]
    events += [dict(step(number), time=9000.0 + number - 10) for number in range(11, 21)]
    speed = record_of(events).speed
    assert (speed.warmup_steps, speed.wall_seconds) == (4, 20.0)


FAILED = {"event": "end", "time": 1.0, "status": "failed", "reason": "the loss is nan at step 7"}


@pytest.mark.parametrize(
    "end, reason", [([], "ended without a word"), ([FAILED], "the loss is nan at step 7")]
)
def test_a_run_without_a_good_end_is_aborted_with_its_reason(end: Any, reason: str) -> None:
    record = record_of(whole_run()[:5] + end)
    assert (record.status, record.reason) == ("aborted", reason)
    assert (record.metrics.final, record.progress.steps) == ({}, 4)


@pytest.mark.parametrize("loss", ["nan", "-inf", None, float("nan"), float("inf")])
def test_unhealthy_steps_are_counted(loss: Any) -> None:
    events = [dict(START), step(1), step(2, loss=loss), step(3, skipped=True)]
    health = record_of(events).health
    assert (health.nonfinite_steps, health.loss_scale_skips) == (1, 1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"schema_version": 2}, "schema_version must be 1"),
        ({"status": "good"}, "status must be one of complete, aborted"),
        ({"seed": "0"}, "seed must be a whole number"),
    ],
)
def test_what_is_no_record_is_refused_by_file_and_key(
    change: Dict[str, Any], message: str, tmp_path: Path
) -> None:
    content = dict(json.loads(json_text(record_of(whole_run()))), **change)
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(ZooError, match=f"x.json: {message}"):
        run_record.read_record(tmp_path / "x.json")


@pytest.mark.parametrize(
    "kind, change, message",
    [
        ("step", {"seconds": None}, "step event of step 1: seconds must be a number"),
        ("start", {"seed": 1e400}, "seed must be a whole number"),
        ("start", {"time": 1e300}, "time must be between"),
        ("evaluation", {"metrics": {"accuracy": "x"}}, "metrics.accuracy must be a number"),
        ("start", {"event": "begin"}, "has no start event"),
    ],
)
def test_a_wrong_event_is_told_by_log_and_key(
    kind: str, change: Dict[str, Any], message: str
) -> None:
    events = whole_run()
    next(event for event in events if event["event"] == kind).update(change)
    with pytest.raises(ZooError, match=f"a.jsonl.*{message}"):
        run_record.from_events(events, where="a.jsonl")


def test_a_run_folder_gives_case_log_and_the_command_without_the_machines_folders(
    tmp_path: Path,
) -> None:
    with pytest.raises(ZooError, match="is not a run folder"):
        run_record.from_run_folder(tmp_path)
    with run_log.RunLog(tmp_path / "rank_0") as log:
        for event in whole_run():
            log.event(event.pop("event"), **event)
    command = "zoo launch x full --data_path=/home/me/data --output_path /home/me/run"
    (tmp_path / "run.json").write_text(json.dumps({"case": "full_1p", "command": command}))
    (tmp_path / "train_0.log").write_text("a line\n")
    record = run_record.from_run_folder(tmp_path)
    shown = "zoo launch x full '--data_path=…/data' --output_path '…/run'"
    assert (record.case, record.command) == ("full_1p", shown)
    assert record.log_sha256 == sha256_of(tmp_path / "train_0.log")
    words = ["/some/where/train.py", "--data_path=/home/me/data"]
    assert shown_command(words, "a_net") == "python -m a_net.train '--data_path=…/data'"


# --- A record names the sources it was made by, and the hash of its configuration ---


def test_a_checkout_names_its_commit_and_a_changed_file_makes_it_dirty(tmp_path: Path) -> None:
    assert code_state(tmp_path) == {"commit": "unknown", "dirty": True}  # no checkout
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], identity + ["commit", "-qm", "first"]):
        subprocess.check_call(["git", "-C", str(tmp_path)] + words)
    (tmp_path / "output").write_text("a run's log beside the sources")
    state = code_state(tmp_path)
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (tmp_path / "file").write_text("two")
    assert code_state(tmp_path)["dirty"] is True
