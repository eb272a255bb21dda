"""What the loop promises, with both engines: exact resume, the best, orderly ends, what is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, List

import numpy
import pytest

from common.core.errors import ZooError
from common.core.files import FolderLock, sha256_of
from common.runs.events import effective_events, read_events
from common.runs.record import read_record
from common.runs.store import verified_record
from common.training.checkpoints import find_checkpoint, is_whole
from common.training.run import DivergenceError, Evaluation
from tests.toys import PNG, ROOT, Event, Toy, events, kept, losses


@pytest.fixture(autouse=True)
def signals_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# --- resume ---


@pytest.mark.slow
def test_a_killed_and_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    toy: Toy, tmp_path: Path
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    victim = toy.start(killed, 40, "checkpoint_every=10", "pause=0.02")
    try:
        while not (killed / "ckpt/step_00000010").exists():
            assert victim.poll() is None, victim.communicate()[0]
            time.sleep(0.02)
    finally:
        victim.kill()
        victim.communicate()
    toy.run(killed, 40, checkpoint_every=10, resume=True)
    toy.run(whole, 40, checkpoint_every=10)
    assert events(killed, "start")[-1]["resumed_step"] >= 10
    toy.assert_same_bits(killed / "ckpt/step_00000040", whole / "ckpt/step_00000040")
    assert losses(killed) == losses(whole)


@pytest.mark.parametrize("stopped", [10, 12, 20])
def test_a_stopped_run_goes_on_as_if_nothing_had_been(
    toy: Toy, tmp_path: Path, stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the end of an epoch, within one, and after the last step."""
    given = {"evaluate_every": 5, "checkpoint_every": 5}
    toy.run(tmp_path / "whole", 20, **given)
    advance = toy.engine.advance

    def advance_and_stop(self: Any, most: int) -> Any:
        results, wishes = advance(self, most)
        return results, wishes._replace(stop=float(results[-1].step == stopped))

    monkeypatch.setattr(toy.engine, "advance", advance_and_stop)
    assert toy.run(tmp_path / "stopped", 20, **given) == 143
    monkeypatch.undo()
    assert toy.run(tmp_path / "stopped", 20, resume=True, **given) == 0
    told = [
        [
            {name: event.get(name) for name in ("step", "loss", "train_loss", "role", "metrics")}
            for kind in ("step", "epoch", "evaluation")
            for event in events(tmp_path / name, kind)
        ]
        for name in ("whole", "stopped")
    ]
    assert told[0] == told[1]
    toy.assert_same_bits(*(tmp_path / name / "ckpt/step_00000020" for name in ("whole", "stopped")))


def test_resuming_a_finished_run_repeats_nothing(toy: Toy, tmp_path: Path, capsys) -> None:
    toy.run(tmp_path, 4, evaluate_every=2)
    log = tmp_path / "rank_0" / "metrics.jsonl"
    before = [event["event"] for event in effective_events(log)]
    toy.run(tmp_path, 4, evaluate_every=2, resume=True)
    again = [event["event"] for event in effective_events(log)]
    assert [kind for kind in again if kind != "start"] == before[1:]
    assert "nothing is left to do" in capsys.readouterr().out


def test_the_time_in_the_lines_goes_on_where_the_run_does(toy: Toy, tmp_path: Path, capsys) -> None:
    toy.run(tmp_path, 2, checkpoint_every=1)
    log = tmp_path / "rank_0" / "metrics.jsonl"
    log.write_text(log.read_text() + '{"event": "heartbeat", "time": 9e9}\n')
    capsys.readouterr()
    toy.run(tmp_path, 4, resume=True)
    line = [text for text in capsys.readouterr().out.splitlines() if "Step: 4" in text][0]
    assert "days" in line.split("Time: ")[1].split(",")[0]


@pytest.mark.parametrize(
    "given, kind, told",
    [
        ({"resume": True}, ZooError, "--resume: there is no whole checkpoint in .*ckpt"),
        ({"nan_at": 7}, DivergenceError, "the loss is nan at step 8; .*step_00000005"),
    ],
)
def test_what_cannot_go_on_is_told_and_ends_as_failed(
    toy: Toy, tmp_path: Path, given: Any, kind: Any, told: str
) -> None:
    with pytest.raises(kind, match=told):
        toy.run(tmp_path, 20, checkpoint_every=5, **given)
    assert events(tmp_path, "end")[-1]["status"] == "failed"


@pytest.mark.parametrize(
    "given, told",
    [
        ({"units": 5}, r"network \{'name': 'toy', 'units': 4\}, this run .*5"),
        ({"task": "other"}, "task 'regression', this run 'other'"),
        ({"batch_size": 4}, "batch_size 8, this run 4"),
        ({"seed": 9}, "seed 1, this run 9"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(toy: Toy, tmp_path: Path, given, told) -> None:
    toy.run(tmp_path, 2)
    with pytest.raises(ZooError, match=told):
        toy.run(tmp_path, 4, resume=True, **given)


def test_a_fresh_run_moves_the_earlier_one_aside_and_leaves_a_record_and_a_log(
    toy: Toy, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "run"
    toy.run(folder, 3)
    (folder / "notes.txt").write_text("the user's")
    toy.run(folder, 2, evaluate_every=2)
    assert kept(folder) == ["step_00000002"] and (folder / "notes.txt").exists()
    (aside,) = tmp_path.glob("run.*")
    assert f"an earlier run is now in {aside}" in capsys.readouterr().out
    assert kept(aside) == ["step_00000003"] and len(losses(aside)) == 3
    record = read_record(folder / "record.json")
    assert (record.case, record.status, record.progress.steps) == ("direct", "complete", 2)
    assert verified_record(folder).contradictions == ()
    assert "Evaluation at step 2" in (folder / "train_0.log").read_text()


def test_a_second_run_into_the_folder_of_a_live_one_is_refused(toy: Toy, tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert lock.acquire()
    for resume in (False, True):
        with pytest.raises(ZooError, match="belongs to a run that goes on"):
            toy.run(tmp_path, 2, resume=resume)
    lock.release()
    assert not (tmp_path / "rank_0").exists()


def test_a_board_that_fails_is_told_once_and_ends_nothing(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    class Board:
        def write(self, event: Event) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("common.training.run.open_scalar_sink", lambda folder: Board())
    assert toy.run(tmp_path, 4) == 0
    assert capsys.readouterr().out.count("nothing more goes to TensorBoard") == 1


def test_a_path_is_never_a_pattern_and_a_flag_that_changed_is_told(
    toy: Toy, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "brackets [1] {2} a*b?c\\slash"
    toy.run(folder, 4, evaluate_every=2)
    toy.run(folder, 6, evaluate_every=2, resume=True, noise=0.2)
    assert [event["resumed_step"] for event in events(folder, "start")] == [0, 4]
    told = "note: noise was 0.1 until this step and is 0.2 from now on"
    assert capsys.readouterr().out.count(told) == 1


# --- what is best ---


def test_the_last_checkpoints_and_the_best_are_kept_and_the_best_is_evaluated(
    toy: Toy, tmp_path: Path
) -> None:
    toy.run(tmp_path, 50, evaluate_every=5, checkpoint_every=5, keep=2)
    assert kept(tmp_path) == ["step_00000010", "step_00000045", "step_00000050"]
    assert find_checkpoint(tmp_path).name == "step_00000010"
    assert all(is_whole(tmp_path / "ckpt" / name) for name in kept(tmp_path))
    seen = {
        (event["role"], event["step"]): event["metrics"]["size"]
        for event in events(tmp_path, "evaluation")
    }
    assert list(seen)[-2:] == [("final", 50), ("best", 10)]
    assert seen["best", 10] == seen["progress", 10] != seen["final", 50]


def test_a_best_checkpoint_that_is_gone_is_told_and_chosen_anew(
    toy: Toy, tmp_path: Path, capsys
) -> None:
    toy.run(tmp_path, 12, evaluate_every=5, checkpoint_every=1, keep=1)
    shutil.rmtree(str(tmp_path / "ckpt/step_00000010"))
    toy.run(tmp_path, 20, evaluate_every=5, resume=True)
    assert "the best checkpoint, of step 10, is gone" in capsys.readouterr().out
    assert events(tmp_path, "evaluation")[-1]["step"] == 15  # of 15 and 20


def test_a_run_of_tensorflow_from_before_goes_on_as_it_did(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    folder = tmp_path / "run"
    shutil.copytree(str(ROOT / "tests/fixtures/toy_run_of_tensorflow"), str(folder), symlinks=True)
    Toy("tensorflow").run(folder, 16, evaluate_every=5, resume=True)
    assert losses(folder)[-1] == pytest.approx(3.741938, rel=1e-4)
    assert events(folder, "evaluation")[-1]["step"] == 10


@pytest.mark.pytorch
def test_a_run_of_torch_from_before_goes_on_as_it_did(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import torch

    toy, whole, old = Toy("torch"), tmp_path / "whole", tmp_path / "old"
    toy.run(whole, 16, evaluate_every=5, checkpoint_every=1, keep=9)
    (old / "ckpt").mkdir(parents=True)
    for name, step in (("best", 10), ("step_000000012", 12)):
        content = torch.load(str(whole / f"ckpt/step_{step:08d}/weights.pt"))
        content.update(
            format="residual_attention_net.checkpoint",
            network={"network": "toy", "units": 4},
            position={"step": step, "epoch": step // 5, "batch": step % 5},
            best={"epoch": 2, "accuracy": 0.0, "loss": -0.0},
            epoch_losses=losses(whole)[10:step],
        )
        path = old / "ckpt" / f"{name}.pt"
        torch.save(content, str(path))
        told = {"sha256": sha256_of(path), "step": step, "epoch": 3}
        path.with_suffix(".json").write_text(json.dumps(told))
    toy.run(old, 16, evaluate_every=5, resume=True)
    toy.assert_same_bits(old / "ckpt/step_00000016", whole / "ckpt/step_00000016")
    assert [event["train_loss"] for event in events(old, "epoch")] == [
        event["train_loss"] for event in events(whole, "epoch")[2:]
    ]
    assert events(old, "evaluation")[-1]["step"] == 10
    assert (old / "ckpt/step_000000012.pt").is_file() and (old / "ckpt/best.pt").is_symlink()


# --- ends ---


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_at_the_next_step(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def evaluate(*_: Any) -> List[Evaluation]:
        os.kill(os.getpid(), number)
        return [Evaluation("validation", 1, {})]

    monkeypatch.setattr(toy.module, "evaluation", evaluate)
    assert toy.run(tmp_path, 20, evaluate_every=5) == code
    assert kept(tmp_path) == ["step_00000006"]
    assert events(tmp_path, "end")[-1]["status"] == "interrupted"


# --- what is told ---


def test_a_run_tells_what_a_table_needs_in_lines_as_the_original_ports(
    toy: Toy, tmp_path: Path, capsys
) -> None:
    toy.run(tmp_path, 10)
    for number, event in enumerate(events(tmp_path, "step"), 1):
        assert (event["step"], event["epoch"], event["samples"]) == (number, 1, 8)
        assert 0.0 < event["data_seconds"] <= event["seconds"]
    begun, saved = events(tmp_path, "start")[0], events(tmp_path, "checkpoint")[-1]
    assert begun["network"]["parameters"] == 21 and begun["proof"]
    assert saved["sha256"] == sha256_of(tmp_path / "ckpt" / saved["path"] / "state.json")
    line = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Step: 5")]
    names = ["Step", "Loss", "Time", "Learning rate", "FPS", "ETA"]
    assert [part.split(":")[0] for part in line[0].split(", ")] == names


def test_pictures_are_files_by_step_and_one_that_cannot_be_drawn_is_told_once(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    toy.run(tmp_path / "drawn", 4, pictures_every=2)
    assert (tmp_path / "drawn/pictures/dot_00000002.png").read_bytes() == PNG
    monkeypatch.setattr(toy.module, "PNG", property())  # no bytes: it can't be written
    toy.run(tmp_path / "failed", 4, pictures_every=1)
    out = capsys.readouterr().out
    assert out.count("note: pictures/ of step 1 and later is left out") == 1
    assert out.count("can't be drawn") == 1


@pytest.mark.pytorch
def test_a_window_of_steps_gives_what_single_steps_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an accelerator, where losses are looked at together."""
    pytest.importorskip("torch")
    from common.training.torch import engine

    toy, given = Toy("torch"), {"evaluate_every": 7, "checkpoint_every": 7}
    toy.run(tmp_path / "one", 20, **given)
    made = engine.TorchEngine.__init__

    def windowed(self: Any, *words: Any) -> None:
        made(self, *words)
        self._window = 5

    monkeypatch.setattr(engine.TorchEngine, "__init__", windowed)
    toy.run(tmp_path / "five", 20, **given)
    assert losses(tmp_path / "one") == losses(tmp_path / "five")
    toy.assert_same_bits(*(tmp_path / name / "ckpt/step_00000020" for name in ("one", "five")))
    told = [
        [(event["event"], event.get("step")) for event in read_events(path)]
        for path in sorted(tmp_path.glob("*/rank_0/metrics.jsonl"))
    ]
    assert told[0] == told[1]


# --- ranks ---


@pytest.mark.slow
def test_two_ranks_train_as_one_with_twice_the_batch(toy: Toy, tmp_path: Path) -> None:
    words = ("noise=0", "batch_size=4", "evaluate_every=10", "clip_norm=0.5")
    texts = toy.run_ranks(tmp_path / "two", 20, *words)
    toy.run(tmp_path / "one", 20, noise=0.0, batch_size=8, evaluate_every=10, clip_norm=0.5)
    two, one = (toy.weights(tmp_path / name / "ckpt/step_00000020") for name in ("two", "one"))
    for name, value in one.items():
        assert numpy.allclose(two[name], value, rtol=1e-4, atol=1e-6), name
    assert "Step: 5" in texts[0] and "Step: 5" not in texts[1]
    assert losses(tmp_path / "two", 0) == losses(tmp_path / "two", 1)
    assert len(losses(tmp_path / "two")) == 20


@pytest.mark.slow
def test_a_signal_to_one_rank_ends_both_at_the_same_step_and_they_go_on(
    toy: Toy, tmp_path: Path
) -> None:
    ranks = toy.start_ranks(tmp_path, 2000, "pause=0.02")
    log = tmp_path / "rank_1/metrics.jsonl"
    while not log.exists() or '"step":5,' not in log.read_text():
        assert ranks[1].poll() is None, ranks[1].communicate()[0]
        time.sleep(0.05)
    ranks[1].send_signal(signal.SIGTERM)
    texts = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [143, 143], texts
    last = [events(tmp_path, "step", rank)[-1]["step"] for rank in range(2)]
    assert last[0] == last[1] and kept(tmp_path) == [f"step_{last[0]:08d}"]
    toy.run_ranks(tmp_path, last[0] + 3, "resume=True")
    assert [event["resumed_step"] for event in events(tmp_path, "start", 1)] == [0, last[0]]
