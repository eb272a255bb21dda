"""Training and what follows it through the entry points, on a few drawn shapes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from proto_runs import COMMON, ROOT, events, flags

from common.core.errors import ZooError
from common.machine.ports import reserve_port
from common.runs.record import from_run_folder, read_record
from common.training.stored_weights import StoredWeights, find_weights
from protoattend_torch.evaluate import main as evaluate
from protoattend_torch.explain import main as explain
from protoattend_torch.train import main as train

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
FASTER = "--init_learning_rate=0.003"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    assert train(flags(folder, 30, "--val_step=15", "--pictures_every=30", FASTER)) == 0
    return folder


def losses(folder, rank=0):
    return [event["loss"] for event in events(folder, "step", rank)]


def falls(found):
    return np.mean(found[-5:]) < 0.9 * np.mean(found[:5])


def weights(path):
    return StoredWeights(find_weights(str(path)).prefix).arrays()


def equal(one, other):
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_training_learns_and_writes_what_a_record_needs(finished):
    record = from_run_folder(finished)
    told = record.model, record.task, record.status, record.progress.steps
    assert told == ("protoattend_torch", "classification", "complete", 30)
    assert {"accuracy", "encoder_accuracy", "prototypes_90", "ece"} <= set(record.metrics.final)
    assert falls(losses(finished))
    assert (finished / "pictures" / "prototypes_00000030.png").exists()
    told = [(event["split"], event["role"]) for event in events(finished, "evaluation")]
    assert told == [("validation", "progress")] * 2 + [("test", "final"), ("test", "best")]
    told = events(finished, "diagnostics")[-1]["values"]
    names = {"batch_accuracy", "batch_encoder_accuracy", "sparsity", "largest_weight"}
    assert names <= set(told) and 1 <= told["prototypes_used"] <= 16


def test_queries_may_be_one_anothers_candidates_in_bfloat16(tmp_path):
    words = ["--example_cand_size=0", "--decay=cosine", "--warmup_steps=5", FASTER]
    if sys.version_info >= (3, 8):  # torch 1.8 has no autocast on a CPU
        words.append("--precision_mode=allow_mix_precision_bf16")
    assert train(flags(tmp_path, 30, *words)) == 0
    assert falls(losses(tmp_path))


def test_an_evaluation_has_the_best_checkpoints_figures_other_sets_and_pictures(finished, tmp_path):
    words = [f"--checkpoint={finished}", f"--output_path={tmp_path}", "--other_count=50"]
    assert evaluate(COMMON + words) == 0
    told, best = read_record(tmp_path / "record.json").metrics, events(finished, "evaluation")[-1]
    assert told.n_eval == best["n"]
    assert told.final["accuracy"] == pytest.approx(best["metrics"]["accuracy"], abs=1e-6)
    assert set(json.loads((tmp_path / "metrics.json").read_text())["others"]) == {
        "noise",
        "rotated",
    }
    pictures = [f"{name}.png" for name in ("coverage", "reliability", "confidence", "prototypes")]
    for name in [*pictures, "gallery.html", "metrics.txt"]:
        assert (tmp_path / name).stat().st_size > 0


def test_test_images_are_explained(finished, tmp_path, capsys):
    words = [f"--checkpoint={finished}", f"--output_path={tmp_path}", "--gallery_count=3"]
    assert explain(COMMON + words) == 0
    assert capsys.readouterr().out.count("prototypes: ") == 3
    assert (tmp_path / "gallery.html").stat().st_size > 0


def test_what_does_not_fit_the_checkpoint_is_one_clear_line(finished, tmp_path):
    words = ["--img_size=14", f"--checkpoint={finished}", f"--output_path={tmp_path}"]
    with pytest.raises(ZooError, match="the checkpoint's network takes 12x12x1: give --img_size"):
        evaluate([*COMMON, *words])


def test_an_encoder_is_taken_over_and_stays_as_it_was_when_frozen(finished, tmp_path):
    words = [f"--encoder_checkpoint={finished}", "--freeze_encoder", "--random_seed=9"]
    assert train(flags(tmp_path, 3, *words)) == 0
    before, after = weights(finished), weights(tmp_path)
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert {name for name in before if name.startswith("encoder/")} <= same
    assert "key/kernel" in before and "key/kernel" not in same


# Processes of their own


def start(words, **environment):
    """Starts a training; TensorFlow's networks lie where the package finds them by itself."""
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'PyTorch'}"}
    return subprocess.Popen(
        [sys.executable, "-m", "protoattend_torch.train", *words],
        env={**os.environ, **own, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def finish(process):
    text = process.communicate()[0]
    assert process.returncode == 0, text
    return text


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(flags(whole, 12)) == 0
    process = start(flags(killed, 12, "--checkpoint_minutes=0"))
    while not (killed / "ckpt" / "step_00000004").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert train(flags(killed, 12, "--resume")) == 0
    assert events(killed, "start")[-1]["resumed_step"] >= 4
    assert equal(weights(whole), weights(killed))


def test_two_ranks_agree_and_see_what_one_sees(tmp_path):
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    port = str(reserve_port().port)
    words = flags(tmp_path, 20, "--val_step=10", "--pictures_every=10", FASTER)
    ranks = [start(words, RANK=rank, LOCAL_RANK=rank, MASTER_PORT=port, **place) for rank in "01"]
    for rank in ranks:
        finish(rank)
    assert losses(tmp_path) == losses(tmp_path, 1) and falls(losses(tmp_path))
    figures = [
        [event["metrics"] for event in events(tmp_path, "evaluation", rank)] for rank in (0, 1)
    ]
    assert figures[0] == figures[1] and len(figures[0]) == 4
    assert len(list((tmp_path / "pictures").iterdir())) == 2
