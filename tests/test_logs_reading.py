"""Real logs, our own logs, and what is said of files that are neither."""

from __future__ import annotations

import json
import tarfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import pytest

from common.core.errors import ZooError
from common.evidence.logs.reading import (
    UnknownFormatError,
    known_formats,
    read_log,
    series_of_record,
)
from common.evidence.logs.series import ParsedLog, Restart
from common.runs.events import RunLog
from tests.fake_zoo import REPOSITORY

EXCERPTS = Path(__file__).resolve().parent / "fixtures" / "logs"
FORMATS = known_formats(REPOSITORY)
Points = Dict[str, List[Tuple[int, float]]]


def read(path: Path) -> ParsedLog:
    return read_log(path, formats=FORMATS)


def points(log: ParsedLog) -> Points:
    return {
        name: list(zip(one.steps.tolist(), one.values.tolist())) for name, one in log.series.items()
    }


@pytest.mark.parametrize(
    "kind, loss, mean, deviation, seconds, notes",
    [
        ("gpu", 0.000867, 0.00101, 0.00016, 246402.837634, []),
        ("npu", 0.000793, 0.00082, 0.00010, 75949.674530, ["not read: 1 step line(s) out of order, "
         "the first at step 317,600, where the run did not begin again (a step told twice, or "
         "another rank without a mark)"]),
    ],
)  # fmt: skip
def test_the_real_logs_hold_the_published_losses(
    kind: str, loss: float, mean: float, deviation: float, seconds: float, notes: List[str]
) -> None:
    log = read(EXCERPTS / f"slot_attention_{kind}_excerpt.log.gz")
    told, curve = points(log), log.series["loss"]
    assert log.format == "slot_attention_port" and log.restarts == ()
    assert dict(told["loss"])[319300] == loss
    assert dict(told["elapsed_seconds"])[319300] == seconds
    around = curve.values[curve.steps >= 300000][-50:]
    assert around.mean() == pytest.approx(mean, abs=0.00001)
    assert around.std() == pytest.approx(deviation, abs=0.00001)
    assert list(log.notes) == notes


# --- files that are no logs ---


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"loss=0.5\nloss=0.4\n", 2),
        (b"Final Train Accuracy : 0.9593\nE2E Training Duration sec : 5\n", 2),  # ends of any log
        (b"", 0),
        (b"\x1f\x8b broken", 0),
    ],
)
def test_an_unknown_format_says_what_was_looked_for(
    content: bytes, lines: int, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_bytes(content)
    with pytest.raises(UnknownFormatError) as caught:
        read(tmp_path / "a.log")
    (line,) = caught.value.lines
    assert f"none of its {lines} lines is in a known format" in line
    for name in ("run_log", "slot_attention_port", "protoattend_port", "3d_attention_net"):
        assert name in line


@pytest.mark.parametrize("kind", ["stored zip", "tar"])
def test_an_archive_is_no_text(kind: str, tmp_path: Path) -> None:
    inner, path = tmp_path / "inner.log", tmp_path / "a.log"
    inner.write_bytes(b"Step: 1, Loss: 0.5, Time: 0:00:01\n" * 99)
    if kind == "tar":
        with tarfile.open(str(path), "w:gz") as archive:
            archive.add(str(inner), "inner.log")
    else:
        with zipfile.ZipFile(str(path), "w") as archive:
            archive.write(str(inner), "inner.log")
    with pytest.raises(ZooError, match=f"is a {kind[-3:]} archive, not a log; unpack it"):
        read(path)


def test_a_gzip_bomb_is_answered_soon_and_a_cut_gzip_file_read_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(b"\n" * (1 << 24)) for _ in range(40)] + [packer.flush()]
    (tmp_path / "a.log.gz").write_bytes(b"".join(parts))
    began = time.process_time()
    with pytest.raises(ZooError, match="unpacks to more than 200 times its size"):
        read(tmp_path / "a.log.gz")
    assert time.process_time() - began < 10
    packed = (EXCERPTS / "slot_attention_gpu_excerpt.log.gz").read_bytes()
    (tmp_path / "a.log.gz").write_bytes(packed[: len(packed) // 2])
    log = read(tmp_path / "a.log.gz")
    assert 10 < len(log.series["loss"]) < 300 and "ends early" in log.notes[0]


# --- logs for people ---

LOGS: List[Tuple[str, str, Points, str]] = [
    (
        "3d_attention_net",
        "Epoch [0/2], Iter [20/30] Loss: 2.5\nthe epoch 0 takes time: 34.5\n"
        "Epoch [1/2], Iter [20/30] Loss: 1.5\nthe epoch 1 takes time: 33.5\n",
        {
            "loss": [(20, 2.5), (50, 1.5)],
            "epoch": [(20, 0.0), (50, 1.0)],
            "epoch_seconds": [(30, 34.5), (60, 33.5)],
        },
        "epochs are counted from zero: epoch 0 is the first",
    ),
    (  # the original implementation's
        "3d_attention_net",
        "Epoch [1/300], Iter [100/781] Loss: 2.1034\nEpoch [1/300], Iter [700/781] Loss: 1.9034\n"
        "the epoch takes time: 134.25\nevaluate test set:\n"
        "Accuracy of the model on the test images: 42 %\n"
        "Accuracy of the model on the test images: 0.4267\nAccuracy of plane : 51 %\n"
        "current best acc, 0.4267\nEpoch [2/300], Iter [100/781] Loss: 1.5034\n",
        {
            "loss": [(100, 2.1034), (700, 1.9034), (881, 1.5034)],
            "epoch": [(100, 1.0), (700, 1.0), (881, 2.0)],
            "epoch_seconds": [(700, 134.25)],
            "test_accuracy": [(700, 42.0)],
            "best_test_accuracy": [(700, 42.67)],
        },
        "",
    ),
    (
        "protoattend_port",
        "Step : 1----loss : 2.5----cost_time : 0.25\nStep : 2----loss : 1.5----cost_time : 0.5\n"
        "min loss = -0.0123\nFinal Val Accuracy = 0.9312 , cost_time : 12.3\n",
        {
            "loss": [(1, 2.5), (2, 1.5)],
            "step_seconds": [(1, 0.25), (2, 0.5)],
            "minimum_loss": [(2, -0.0123)],
            "validation_accuracy": [(2, 0.9312)],
            "evaluation_seconds": [(2, 12.3)],
        },
        "",
    ),
    (  # three ranks without a mark
        "3d_attention_net",
        "".join(f"Epoch [1/2], Iter [20/50] Loss: 1.{rank}\n" for rank in "012")
        + "".join(f"the epoch 1 takes time: {30 + rank}\n" for rank in range(3))
        + "Accuracy of the model on the test images: 51 %\n" * 3
        + "Epoch [2/2], Iter [20/50] Loss: 2.0\n" * 3,
        {
            "loss": [(20, 1.0), (70, 2.0)],
            "epoch": [(20, 1.0), (70, 2.0)],
            "epoch_seconds": [(50, 30.0)],
            "test_accuracy": [(50, 51.0)],
        },
        "not read: 4 step line(s) out of order, the first at step 20",
    ),
    (
        "tensorflow_training",
        "slot_attention_small (145,028 parameters) on AMD EPYC, 1 rank(s), float32; 3000 steps\n"
        "Step: 100, Loss: 0.311791, Time: 0:00:34.162719, Learning rate: 9.9e-05, FPS: 105.6, "
        "ETA: 1 day, 0:16:30\nEvaluation at step 100 (current weights) on 320 samples of "
        "validation: fg_ari 0.1348, ari -0.0066\n"
        "Step: 200, Loss: nan, Time: 0:01:07, Learning rate: 0.000753271, FPS: 120.9, ETA: 0:15:38"
        "\nresuming at step 150\n"
        "Step: 200, Loss: 0.25, Time: 0:00:07, Learning rate: 0.000753271, FPS: 121.0, ETA: "
        "0:15:38\nEvaluation at step 100 (best weights) on 320 samples of test: fg_ari 0.9700\n"
        "Final Performance images/sec : 140.36\nFinal Train Accuracy : 0.9593\n",
        {
            "loss": [(100, 0.311791), (200, 0.25)],
            "elapsed_seconds": [(100, 34.162719), (200, 7.0)],
            "learning_rate": [(100, 9.9e-05), (200, 0.000753271)],
            "fps": [(100, 105.6), (200, 121.0)],
            "validation_fg_ari": [(100, 0.1348)],
            "validation_ari": [(100, -0.0066)],
            "best_test_fg_ari": [(100, 0.97)],
            "final_fps": [(200, 140.36)],
            "final_accuracy": [(200, 0.9593)],
        },
        "the run began again at step 151 after step 200; the earlier life's steps",
    ),
]


@pytest.mark.parametrize(("form", "text", "told", "note"), LOGS)
def test_a_log_gives_training_evaluations_and_outcome(
    form: str, text: str, told: Points, note: str, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_text(text)
    log = read(tmp_path / "a.log")
    assert log.format == form
    assert points(log) == told
    assert bool(log.notes) == bool(note) and "".join(log.notes).startswith(note)
    assert len(log.lives) == 1 + ("began again" in note)


@pytest.mark.parametrize(
    "steps, lives, told, note",
    [
        ([1, 2, 3, 4] * 5000, 1000, [1, 2, 3, 4], "not read: 16,000 step line(s) out of order"),
        ([1, 2, 99, 3, 4, 5, 6, 7], 2, [1, 2, 6, 7], "not read: 3 step line(s) out of order"),
    ],
    ids=["only back", "one damaged step"],
)
def test_steps_out_of_order_are_no_thousands_of_lives_and_one_hides_no_others(
    steps: List[int], lives: int, told: List[int], note: str, tmp_path: Path
) -> None:
    line = "Step: {}, Loss: 0.5, Time: 0:00:01\n"
    (tmp_path / "a.log").write_text("".join(map(line.format, steps)))
    log = read(tmp_path / "a.log")
    assert len(log.lives) == lives and log.series["loss"].steps.tolist() == told
    assert log.notes[-1].startswith(note)


# --- events and records ---


def write_events(folder: Path) -> Path:
    """A run of four steps that fell at the third, resumed after the second."""
    rest = {"epoch": 1, "learning_rate": 0.1, "seconds": 0.5, "data_seconds": None, "samples": 8}
    test = {"split": "test", "epoch": 1, "n": 10}
    with RunLog(folder) as log:
        log.event("start", config={"a": [1, {"b": 2}]}, resumed_step=0, rank=0)
        for number, loss in enumerate([3.0, 2.0, float("nan")], 1):
            log.event("step", step=number, loss=loss, **rest)
    with RunLog(folder) as log:
        log.event("start", config={}, resumed_step=2, rank=0)
        log.event("step", step=3, loss=1.5, **rest)
        log.event("step", step=3, loss=9.0, skipped=True, **rest)
        log.event("step", step=4, loss=-1e-05, **rest)
        log.event("epoch", epoch=1, step=4, train_loss=1.2, metrics={})
        metrics = {"accuracy": 91.5, "loss": float("inf")}
        log.event("evaluation", role="final", step=4, metrics=metrics, **test)
        log.event("evaluation", role="best", step=2, metrics={"accuracy": 92}, **test)
    return folder / "metrics.jsonl"


@pytest.mark.parametrize("backwards", [False, True])
def test_our_events_are_read_in_any_order_of_keys_and_spacing(
    backwards: bool, tmp_path: Path
) -> None:
    path = write_events(tmp_path)
    if backwards:
        events = [json.loads(line) for line in path.read_text().splitlines()]
        lines = [json.dumps(dict(reversed(list(event.items())))) for event in events]
        path.write_text("\n".join(lines) + "\n")
    log = read(path)
    told = points(log)
    assert log.format == "run_log"
    assert told["loss"] == [(1, 3.0), (2, 2.0), (3, 1.5), (4, -1e-05)]
    assert "data_seconds" not in told  # null everywhere
    assert told["train_loss"] == [(4, 1.2)]
    assert told["test_accuracy"] == [(4, 91.5)] and told["test_loss"] == [(4, float("inf"))]
    assert told["best_test_accuracy"] == [(2, 92.0)]
    assert log.restarts == (Restart(3, 3),) and np.isnan(log.lives[0]["loss"].values[2])


@pytest.mark.parametrize(
    "line",
    [
        b'{"event":"step","step":"3","loss":1}',
        b'{"event":"step","step":1e99,"loss":1}',
        b'{"event":"step","step":9,"loss":"x","seconds":[],"samples":{}}',
        b'{"event":"step","step":9,"loss":' + b"9" * 400 + b"}",
        b'{"event":"step"',
        b'{"event":"evaluation","step":9,"split":{},"metrics":{"a":null}}',
        b'{"event":"start","resumed_step":"x"}',
        b'{"a":' * 100000,
        b"\xff\xfe{",
    ],
)
def test_damaged_events_give_no_number(line: bytes, tmp_path: Path) -> None:
    good = b'{"event":"step","step":%d,"loss":0.5}\n'
    (tmp_path / "a.jsonl").write_bytes(good % 1 + line + b"\n" + good % 2)
    assert points(read(tmp_path / "a.jsonl")) == {"loss": [(1, 0.5), (2, 0.5)]}


# An evaluation has no steps to agree on.
TRAININGS = [
    path for path in sorted((REPOSITORY / "results").glob("*/*.json")) if "-eval_" not in path.name
]


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.stem)
def test_a_kept_record_and_its_human_log_agree(path: Path) -> None:
    events = series_of_record(path)
    human = read(path.with_suffix(".log.gz"))
    assert human.format in ("torch_training", "tensorflow_training")
    assert len(human.restarts) == len(events.restarts)
    for name in ("loss", "learning_rate"):
        told = human.series[name]
        same = events.series[name].values[np.searchsorted(events.series[name].steps, told.steps)]
        np.testing.assert_allclose(told.values, same, rtol=1e-5, atol=6e-5)
