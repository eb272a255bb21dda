"""Training and what follows it through the entry points, on a few drawn shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from proto_runs import COMMON, events, flags

from common.core.errors import UsageError, ZooError
from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump import find_dump
from common.runs.record import from_run_folder, read_record
from common.training.stored_weights import StoredWeights
from protoattend.evaluate import main as evaluate
from protoattend.explain import main as explain
from protoattend.train import main as train

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]
FASTER = "--init_learning_rate=0.003"
ODD = "a [b]*?\\c"  # a name that TensorFlow takes for a pattern


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run that stored its second step."""
    folder = tmp_path_factory.mktemp("run") / ODD
    more = ["--val_step=15", "--pictures_every=30", "--dump_tensors=2", FASTER]
    assert train(flags(folder, 30, *more)) == 0
    return folder


def losses_fall(folder):
    losses = [event["loss"] for event in events(folder, "step")]
    return np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def weights(checkpoint):
    return StoredWeights(str(checkpoint / "weights")).arrays()


def test_training_learns_and_writes_what_a_record_needs(finished):
    record = from_run_folder(finished)
    told = record.model, record.task, record.status, record.progress.steps
    assert told == ("protoattend", "classification", "complete", 30)
    assert {"accuracy", "encoder_accuracy", "prototypes_90", "ece"} <= set(record.metrics.final)
    assert losses_fall(finished)
    assert (finished / "pictures" / "prototypes_00000030.png").exists()


def test_validation_chooses_and_test_is_seen_only_at_the_end(finished):
    told = [(event["split"], event["role"]) for event in events(finished, "evaluation")]
    assert told == [("validation", "progress")] * 2 + [("test", "final"), ("test", "best")]


def test_queries_may_be_one_anothers_candidates(tmp_path):
    words = ["--example_cand_size=0", "--decay=cosine", "--warmup_steps=5", FASTER]
    assert train(flags(tmp_path, 30, *words)) == 0
    assert losses_fall(tmp_path)


def test_an_evaluation_has_the_best_checkpoints_figures_other_sets_and_pictures(finished, tmp_path):
    words = [f"--checkpoint={finished}", f"--output_path={tmp_path}", "--other_count=50"]
    assert evaluate(COMMON + words) == 0
    told, best = read_record(tmp_path / "record.json").metrics, events(finished, "evaluation")[-1]
    assert told.n_eval == best["n"]
    assert told.final["accuracy"] == pytest.approx(best["metrics"]["accuracy"], abs=1e-6)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["others"]) == {"noise", "rotated"}
    assert all(0 <= entry["auroc"] <= 1 for entry in metrics["others"].values())
    assert metrics["candidates"]["count"] == 40 and len(metrics["candidates"]["sha256"]) == 64
    pictures = [f"{name}.png" for name in ("coverage", "reliability", "confidence", "prototypes")]
    for name in [*pictures, "gallery.html", "metrics.txt"]:
        assert (tmp_path / name).stat().st_size > 0


def test_explaining_takes_the_users_files_of_any_size(finished, tmp_path, capsys):
    picture = tmp_path / "mine.png"
    pixels = np.random.RandomState(0).randint(0, 255, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(str(picture))
    words = [f"--checkpoint={finished}", "--images", str(picture), f"--output_path={tmp_path}"]
    assert explain(COMMON + words) == 0
    assert "mine.png: " in capsys.readouterr().out
    assert "mine.png" in (tmp_path / "gallery.html").read_text()
    picture.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(ZooError, match="mine.png"):
        explain(COMMON + words)


@pytest.mark.parametrize(
    "flag, error, message",
    [
        ("--img_size=14", ZooError, "the checkpoint's network takes 12x12x1: give --img_size"),
        ("--eval_cand_size=1000000", UsageError, "--eval_cand_size 1000000: there are 3600"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_one_clear_line(
    flag, error, message, finished, tmp_path
):
    with pytest.raises(error, match=message):
        evaluate([*COMMON, flag, f"--checkpoint={finished}", f"--output_path={tmp_path}"])


def test_an_encoder_is_taken_over_and_stays_as_it_was_when_frozen(finished, tmp_path):
    words = [f"--encoder_checkpoint={finished}", "--freeze_encoder", "--random_seed=9"]
    assert train(flags(tmp_path, 3, *words)) == 0
    before = weights(finished / "ckpt" / "best")
    after = weights(tmp_path / "ckpt" / "step_00000003")
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert {name for name in before if name.startswith("encoder/")} <= same
    assert "key/kernel" in before and "key/kernel" not in same


def test_a_dump_has_queries_before_candidates_and_attention_last(finished):
    dump = find_dump(finished)
    names = [entry.name for entry in dump.index.tensors if entry.kind == "activation"]
    heads = ["representation_norm", "key", "query", "value", "value_norm"]
    for passed in ("queries", "candidates"):
        own = [name for name in names if name.startswith(passed)]
        assert own[:2] == [passed + "/standardised", passed + "/encoder/norm0"]
        assert [name.split("/")[1] for name in own if name.split("/")[1] in heads] == heads
    ends = ["queries/value_norm", "candidates/value_norm", "attention_logits", "attention_weights"]
    ends += ["mixed_values", "classifier@1", "classifier@3"]
    assert [names.index(name) for name in ends] == sorted(names.index(name) for name in ends)
    before = dump.inputs("weight before")["encoder/norm0/moving_mean"]
    (moved,) = (
        entry
        for entry in dump.index.tensors
        if (entry.kind, entry.name) == ("weight", "encoder/norm0/moving_mean")
    )
    after = next(dump.tensors([moved]))
    assert not np.array_equal(before, after)


def test_another_seed_repeats_a_step_from_the_dump(finished, tmp_path):
    train(flags(tmp_path, 3, "--random_seed=7", f"--dump_from={finished}", FASTER))
    assert compare_dumps(find_dump(finished), find_dump(tmp_path)).verdict == WITHIN
    assert [event["step"] for event in events(tmp_path, "step")] == [2, 3]
