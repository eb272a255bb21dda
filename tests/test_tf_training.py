"""Training with TensorFlow: exact resume, agreement of ranks, orderly ends."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy
import pytest

from common.core.errors import UsageError, ZooError
from common.runs.events import effective_events, read_events
from common.training.tensorflow import checkpoint, loop
from common.training.tensorflow.checkpoint import find_checkpoint, is_whole
from common.training.tensorflow.description import Evaluation
from common.training.tensorflow.loop import DivergenceError
from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.stored_weights import OWN, StoredWeights
from tests import toy_training
from tests.toy_training import run_toy

pytestmark = pytest.mark.tensorflow
SCRIPT = Path(toy_training.__file__)
HAS_HOROVOD = importlib.util.find_spec("horovod") is not None


@pytest.fixture(autouse=True)
def signals_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def events(folder: Path, kind: str, rank: int = 0) -> List[Dict[str, Any]]:
    found = effective_events(folder / f"rank_{rank}" / "metrics.jsonl")
    return [event for event in found if event["event"] == kind]


def values_of(path: Path) -> Dict[str, Any]:
    reader = tf.train.load_checkpoint(str(path / "weights"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
    }


def assert_same_bits(one: Path, other: Path) -> None:
    first, second = values_of(one), values_of(other)
    assert set(first) == set(second)
    assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []


def start(folder: Path, steps: int, *words: str, **environment: str) -> Any:
    variables = dict(
        {**os.environ, "OMP_NUM_THREADS": "1", **environment},
        PYTHONPATH=str(SCRIPT.parents[1]),
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(steps)] + list(words),
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_ranks(folder: Path, steps: int, *words: str) -> List[str]:
    port = str(free_port())
    ranks = [
        start(
            folder,
            steps,
            *words,
            RANK=str(rank),
            WORLD_SIZE="2",
            LOCAL_RANK=str(rank),
            LOCAL_WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    texts = [rank.communicate(timeout=120)[0].decode("utf-8", "replace") for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], texts
    return texts


# --- resume ---


@pytest.mark.slow
def test_a_killed_and_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    victim = start(tmp_path / "killed", 40, "checkpoint_every=10", "pause=0.02")
    try:
        while not (tmp_path / "killed/ckpt/step_00000010").exists():
            assert victim.poll() is None, victim.communicate()[0]
            time.sleep(0.02)
    finally:
        victim.kill()
        victim.communicate()
    run_toy(tmp_path / "killed", 40, checkpoint_every=10, pause=0.02, resume=True)
    run_toy(tmp_path / "whole", 40, checkpoint_every=10, pause=0.02)
    assert events(tmp_path / "killed", "start")[-1]["resumed_step"] >= 10
    assert_same_bits(tmp_path / "killed/ckpt/step_00000040", tmp_path / "whole/ckpt/step_00000040")
    assert [event["loss"] for event in events(tmp_path / "killed", "step")] == [
        event["loss"] for event in events(tmp_path / "whole", "step")
    ]


def test_resuming_a_finished_run_repeats_nothing(tmp_path: Path, capsys) -> None:
    run_toy(tmp_path, 4, evaluate_every=2)
    log = tmp_path / "rank_0" / "metrics.jsonl"
    before = [event["event"] for event in effective_events(log)]
    run_toy(tmp_path, 4, evaluate_every=2, resume=True)
    again = [event["event"] for event in effective_events(log)]
    assert [kind for kind in again if kind != "start"] == before[1:]
    assert "nothing is left to do" in capsys.readouterr().out


def test_the_time_in_the_lines_goes_on_where_the_run_does(tmp_path: Path, capsys) -> None:
    run_toy(tmp_path, 2, checkpoint_every=1)
    log = tmp_path / "rank_0" / "metrics.jsonl"
    log.write_text(log.read_text() + '{"event": "heartbeat", "time": 9e9}\n')
    capsys.readouterr()
    run_toy(tmp_path, 4, resume=True)
    line = [text for text in capsys.readouterr().out.splitlines() if "Step: 4" in text][0]
    assert "days" in line.split("Time: ")[1].split(",")[0]


def test_a_run_of_another_seed_differs(tmp_path: Path) -> None:
    run_toy(tmp_path / "one", 5)
    run_toy(tmp_path / "two", 5, seed=2)
    one, two = (values_of(tmp_path / name / "ckpt/step_00000005") for name in ("one", "two"))
    name = "network/hidden/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert not numpy.array_equal(one[name], two[name])


def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path: Path, capsys) -> None:
    run_toy(tmp_path, 20, checkpoint_every=10)
    index = tmp_path / "ckpt/step_00000020/weights.index"
    index.write_bytes(index.read_bytes()[:-1])
    run_toy(tmp_path, 30, resume=True)
    assert "step_00000020 is damaged" in capsys.readouterr().out
    assert events(tmp_path, "start")[-1]["resumed_step"] == 10


def test_resuming_where_nothing_is_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="--resume: there is no whole checkpoint in .*ckpt"):
        run_toy(tmp_path, 5, resume=True)


@pytest.mark.parametrize(
    "given, told",
    [
        ({"units": 5}, r"network \{'name': 'toy', 'units': 4\}, this run .*5"),
        ({"task": "other"}, "task 'regression', this run 'other'"),
        ({"batch_size": 4}, "batch_size 8, this run 4"),
        ({"seed": 9}, "seed 1, this run 9"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, given, told) -> None:
    run_toy(tmp_path, 2)
    with pytest.raises(ZooError, match=told):
        run_toy(tmp_path, 4, resume=True, **given)


def test_a_changed_setting_is_told_on_resume(tmp_path: Path, capsys) -> None:
    run_toy(tmp_path, 2)
    run_toy(tmp_path, 4, resume=True, noise=0.5)
    assert "note: noise was 0.1 until this step and is 0.5 from now on" in capsys.readouterr().out


def test_a_fresh_run_moves_earlier_checkpoints_aside(tmp_path: Path) -> None:
    run_toy(tmp_path, 3)
    run_toy(tmp_path, 2)
    assert [path.name for path in (tmp_path / "ckpt").glob("step_*")] == ["step_00000002"]
    assert len(list(tmp_path.glob("ckpt.*/step_00000003"))) == 1


# --- checkpoints ---


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    run_toy(tmp_path, 50, evaluate_every=5, checkpoint_every=5, keep=2)
    kept = sorted(path.name for path in (tmp_path / "ckpt").glob("step_*"))
    assert kept == ["step_00000010", "step_00000045", "step_00000050"]
    assert find_checkpoint(tmp_path).name == "step_00000010"
    assert all(is_whole(tmp_path / "ckpt" / name) for name in kept)


def test_after_training_the_best_weights_are_evaluated(tmp_path: Path) -> None:
    run_toy(tmp_path, 20, evaluate_every=5)
    seen = {
        (event["role"], event["step"]): event["metrics"]["size"]
        for event in events(tmp_path, "evaluation")
    }
    assert list(seen)[-2:] == [("final", 20), ("best", 10)]
    assert seen["best", 10] == seen["progress", 10] != seen["final", 20]


def _load_toy(prefix: Path, width: int) -> Any:
    """Loads the toy's hidden kernel into a toy of some width; returns its value."""
    with tf.Graph().as_default(), tf.Session() as session:
        network = toy_training.ToyNetwork(width)
        network(toy_training.samples())
        StoredWeights(str(prefix)).load(
            session,
            {OWN.format(path): weight for path, weight in named_weights(network).items()},
            "give its flags",
        )
        return session.run(network.hidden.kernel)


def test_network_weights_load_by_attribute_path(tmp_path: Path) -> None:
    run_toy(tmp_path, 5)
    folder = tmp_path / "ckpt/step_00000005"
    wanted = values_of(folder)["network/hidden/kernel/.ATTRIBUTES/VARIABLE_VALUE"]
    assert numpy.array_equal(_load_toy(folder / "weights", 4), wanted)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    run_toy(tmp_path, 2)
    with pytest.raises(ZooError, match="this network as .*7.*: give its flags"):
        _load_toy(tmp_path / "ckpt/step_00000002/weights", 7)


def test_weights_under_other_names_are_not_passed_over(tmp_path: Path) -> None:
    run_toy(tmp_path, 2)
    stored = StoredWeights(str(tmp_path / "ckpt/step_00000002/weights"))
    with tf.Graph().as_default(), tf.Session() as session, pytest.raises(
        ZooError, match="other/kernel as nothing"
    ):
        stored.load(session, {"other/kernel": tf.get_variable("kernel", [2, 4])}, "")


def test_a_prefix_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="can't be read: .*nothing"):
        StoredWeights(str(tmp_path / "nothing"))


def test_an_altered_checkpoint_is_not_evaluated(tmp_path: Path) -> None:
    run_toy(tmp_path, 2)
    path = tmp_path / "ckpt/step_00000002"
    (path / "weights.index").write_bytes(b"")
    with pytest.raises(ZooError, match="truncated or altered"):
        find_checkpoint(path)


def test_a_folder_without_checkpoints_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="is no checkpoint of training"):
        find_checkpoint(tmp_path / "nowhere")


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    folder = checkpoint.CheckpointFolder(tmp_path)

    def write(prefix: str) -> None:
        Path(prefix + ".index").write_text("whole")

    def fail(prefix: str) -> None:
        Path(prefix + ".index").write_text("half")
        raise KeyboardInterrupt

    folder.prepare()
    saved = folder.save(1, {}, write)
    for step in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            folder.save(step, {}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]
    assert folder.newest() == saved.path


def test_what_a_killed_save_left_is_cleared_and_never_taken(tmp_path: Path) -> None:
    folder = checkpoint.CheckpointFolder(tmp_path)
    (tmp_path / ".unfinished-step_00000007").mkdir()
    assert folder.newest() is None
    folder.prepare()
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_event_has_the_digest_of_the_state(tmp_path: Path) -> None:
    from common.core.files import sha256_of

    run_toy(tmp_path, 3)
    event = events(tmp_path, "checkpoint")[-1]
    assert event["sha256"] == sha256_of(tmp_path / "ckpt" / event["path"] / "state.json")


# --- ends ---


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="the loss is nan at step 8; .*step_00000005"):
        run_toy(tmp_path, 20, nan_at=7, checkpoint_every=5)
    assert events(tmp_path, "end")[-1]["status"] == "failed"


def test_data_that_end_too_early_are_told(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="data ended before the last step"):
        run_toy(tmp_path, 20, batches=9)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_at_the_next_step(tmp_path: Path, monkeypatch, number, code) -> None:
    def evaluate(session, tensor, step, role):
        os.kill(os.getpid(), number)
        return [Evaluation("validation", 1, {})]

    monkeypatch.setattr(toy_training, "evaluation", evaluate)
    assert run_toy(tmp_path, 20, evaluate_every=5) == code
    assert [path.name for path in (tmp_path / "ckpt").glob("step_*")] == ["step_00000006"]
    assert events(tmp_path, "end")[-1]["status"] == "interrupted"


# --- what is told ---


def test_steps_say_how_long_they_waited_for_data(tmp_path: Path) -> None:
    run_toy(tmp_path, 10)
    for event in events(tmp_path, "step"):
        assert 0.0 < event["data_seconds"] <= event["seconds"]


def test_slow_data_are_seen_as_waiting(tmp_path: Path) -> None:
    # With one thread the pipeline's own sleep may keep the step from looking at the clock.
    assert start(tmp_path, 20, "slow_data=0.05", OMP_NUM_THREADS="2").wait() == 0
    waits = [event["data_seconds"] for event in events(tmp_path, "step")[4:]]
    assert sum(waits) / len(waits) > 0.025


def test_a_line_begins_as_the_original_ports(tmp_path: Path, capsys) -> None:
    run_toy(tmp_path, 5)
    line = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Step: 5")]
    assert [part.split(":")[0] for part in line[0].split(", ")] == [
        "Step",
        "Loss",
        "Time",
        "Learning rate",
        "FPS",
        "ETA",
    ]


def test_diagnostics_come_every_so_many_steps(tmp_path: Path) -> None:
    run_toy(tmp_path, 10, diagnostics_every=4)
    found = list(read_events(tmp_path / "rank_0/metrics.jsonl"))
    told = [
        (event["step"], sorted(event["values"]))
        for event in found
        if event["event"] == "diagnostics"
    ]
    assert told == [(4, ["gradient_norm", "largest"]), (8, ["gradient_norm", "largest"])]


def test_pictures_are_files_and_the_graph_lies_beside_the_checkpoints(tmp_path: Path) -> None:
    run_toy(tmp_path, 4, pictures_every=2)
    assert (tmp_path / "pictures/dot_00000002.png").read_bytes() == toy_training.PNG
    assert (tmp_path / "ckpt/graph.pbtxt").read_text().startswith("node {")


def test_a_picture_that_cannot_be_drawn_is_told_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(toy_training, "PNG", property())  # no bytes: it can't be written
    run_toy(tmp_path, 4, pictures_every=1)
    out = capsys.readouterr().out
    assert out.count("note: pictures/ of step 1 and later is left out") == 1
    assert out.count("can't be drawn") == 1


@pytest.mark.parametrize(
    "text, told",
    [
        ("HcomAllReduce_3: rank 1 is gone\n  a long tail", True),
        ("Horovod has been shut down", True),
        ("an operation failed\n  near HcomAllReduce_3", False),
    ],
)
def test_a_rank_that_is_gone_is_told_and_nothing_else_is_taken_for_it(
    text: str, told: bool
) -> None:
    found = loop._of_another_rank(tf.errors.InternalError(None, None, text))
    assert (found is not None) is told
    assert found is None or "long tail" not in str(found)


def test_a_part_of_a_loop_of_the_device_is_refused_with_the_next_whole_number() -> None:
    loop._require_whole_loops(6, 2)
    with pytest.raises(UsageError, match="give 8 steps"):
        loop._require_whole_loops(7, 2)


@pytest.mark.parametrize(
    "first, last, iterations, end",
    [(0, 200, 10, 200), (99, 200, 10, 209), (3, 6, 2, 7), (7, 7, 2, 7), (5, 9, 1, 9)],
)
def test_loops_go_on_from_any_step_and_end_whole(
    first: int, last: int, iterations: int, end: int
) -> None:
    assert loop.end_of_loops(first, last, iterations) == end


def test_profile_writes_a_timeline(tmp_path: Path) -> None:
    run_toy(tmp_path, 12, profile=True)
    trace = json.loads((tmp_path / "profile/timeline_step_00000010.json").read_text())
    assert any("MatMul" in event.get("name", "") for event in trace["traceEvents"])


def test_the_start_event_proves_the_device(tmp_path: Path) -> None:
    run_toy(tmp_path, 2)
    begun = events(tmp_path, "start")[0]
    counted, _, total = begun["proof"].split()[:3]
    assert counted == total and int(total) > 5
    assert begun["network"]["parameters"] == 21


def test_the_traced_proof_takes_no_batch_from_training(tmp_path: Path, monkeypatch) -> None:
    run_toy(tmp_path / "one", 3)
    monkeypatch.setattr("common.training.tensorflow.runtime.proof", lambda *_: "none")
    run_toy(tmp_path / "two", 3)
    assert [event["loss"] for event in events(tmp_path / "one", "step")] == [
        event["loss"] for event in events(tmp_path / "two", "step")
    ]


# --- ranks ---


@pytest.mark.slow
@pytest.mark.skipif(not HAS_HOROVOD, reason="Horovod is not installed in this environment")
def test_two_ranks_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    texts = run_ranks(
        tmp_path / "two", 20, "noise=0", "batch_size=4", "evaluate_every=10", "clip_norm=0.5"
    )
    run_toy(tmp_path / "one", 20, noise=0.0, batch_size=8, evaluate_every=10, clip_norm=0.5)
    two, one = (values_of(tmp_path / name / "ckpt/step_00000020") for name in ("two", "one"))
    for name, value in one.items():
        assert numpy.allclose(two[name], value, rtol=1e-4, atol=1e-6), name
    assert "Step: 5" in texts[0] and "Step: 5" not in texts[1]
    assert not (tmp_path / "two/rank_1/ckpt").exists()
    losses = [
        [event["loss"] for event in events(tmp_path / "two", "step", rank)] for rank in range(2)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 20


@pytest.mark.slow
@pytest.mark.skipif(not HAS_HOROVOD, reason="Horovod is not installed in this environment")
def test_a_signal_to_one_rank_ends_both_at_the_same_step(tmp_path: Path) -> None:
    port = str(free_port())
    ranks = [
        start(
            tmp_path,
            2000,
            "pause=0.02",
            RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    log = tmp_path / "rank_1/metrics.jsonl"
    while not log.exists() or '"step":5,' not in log.read_text():
        assert ranks[1].poll() is None, ranks[1].communicate()[0]
        time.sleep(0.05)
    ranks[1].send_signal(signal.SIGTERM)
    assert [rank.wait(timeout=60) for rank in ranks] == [143, 143]
    for rank in ranks:
        rank.stdout.close()
    last = [events(tmp_path, "step", rank)[-1]["step"] for rank in range(2)]
    assert last[0] == last[1]
    assert [path.name for path in (tmp_path / "ckpt").glob("step_*")] == [f"step_{last[0]:08d}"]
