"""Training and what follows it through the entry points, on a few drawn shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from proto_runs import COMMON, events, finish, flags, start

from common.core.errors import UsageError, ZooError
from common.runs.record import from_run_folder, read_record
from common.training.tensorflow.runtime import tf
from protoattend.evaluate import main as evaluate
from protoattend.explain import main as explain
from protoattend.train import main as train

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    assert (
        train(
            flags(
                folder,
                30,
                "--val_step",
                "15",
                "--pictures_every",
                "30",
                "--init_learning_rate",
                "0.003",
            )
        )
        == 0
    )
    return folder


def test_training_writes_what_a_record_needs(finished):
    record = from_run_folder(finished)
    assert (record.model, record.task, record.status) == (
        "protoattend",
        "classification",
        "complete",
    )
    assert record.progress.steps == 30
    assert {"accuracy", "encoder_accuracy", "prototypes_90", "ece"} <= set(record.metrics.final)


def test_training_learns(finished):
    losses = [event["loss"] for event in events(finished, "step")]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_validation_chooses_and_test_is_seen_only_at_the_end(finished):
    assert [(event["split"], event["role"]) for event in events(finished, "evaluation")] == [
        ("validation", "progress"),
        ("validation", "progress"),
        ("test", "final"),
        ("test", "best"),
    ]


def test_training_shows_prototypes(finished):
    assert (finished / "pictures" / "prototypes_00000030.png").exists()


def test_queries_may_be_one_anothers_candidates(tmp_path):
    words = ["--example_cand_size=0", "--decay=cosine", "--warmup_steps=5"]
    assert train(flags(tmp_path, 30, "--init_learning_rate", "0.003", *words)) == 0
    losses = [event["loss"] for event in events(tmp_path, "step")]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_training_tells_how_many_prototypes_decide(finished):
    told = events(finished, "diagnostics")[-1]["values"]
    assert {
        "batch_accuracy",
        "batch_encoder_accuracy",
        "sparsity",
        "prototypes_used",
        "largest_weight",
    } <= set(told)
    assert 1 <= told["prototypes_used"] <= 16


@pytest.fixture(scope="module")
def evaluated(finished, tmp_path_factory):
    """The folder of an evaluation of the finished run."""
    folder = tmp_path_factory.mktemp("evaluation")
    assert (
        evaluate(
            COMMON
            + ["--checkpoint", str(finished), "--output_path", str(folder), "--other_count", "50"]
        )
        == 0
    )
    return folder


def test_evaluation_gives_the_figures_of_the_best_checkpoint(finished, evaluated):
    told = read_record(evaluated / "record.json").metrics
    best = events(finished, "evaluation")[-1]
    assert told.n_eval == best["n"]
    assert told.final["accuracy"] == pytest.approx(best["metrics"]["accuracy"], abs=1e-6)


def test_evaluation_tells_sets_of_another_distribution_apart(evaluated):
    others = json.loads((evaluated / "metrics.json").read_text())["others"]
    assert set(others) == {"noise", "rotated"}
    assert all(0 <= entry["auroc"] <= 1 for entry in others.values())


def test_evaluation_names_its_candidates(evaluated):
    candidates = json.loads((evaluated / "metrics.json").read_text())["candidates"]
    assert candidates["count"] == 40 and len(candidates["sha256"]) == 64


def test_evaluation_draws_curves_and_a_gallery(evaluated):
    for name in (
        "coverage.png",
        "reliability.png",
        "confidence.png",
        "prototypes.png",
        "gallery.html",
        "metrics.txt",
    ):
        assert (evaluated / name).stat().st_size > 0


def test_explaining_takes_the_users_files_of_any_size(finished, tmp_path, capsys):
    picture = tmp_path / "mine.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (30, 40, 3)).astype(np.uint8)).save(
        str(picture)
    )
    assert (
        explain(
            COMMON
            + [
                "--checkpoint",
                str(finished),
                "--images",
                str(picture),
                "--output_path",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    assert "mine.png: " in capsys.readouterr().out
    assert "mine.png" in (tmp_path / "out" / "gallery.html").read_text()


def test_a_damaged_user_image_is_one_clear_line(finished, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(ZooError, match="mine.png"):
        explain(
            COMMON
            + [
                "--checkpoint",
                str(finished),
                "--images",
                str(tmp_path / "mine.png"),
                "--output_path",
                str(tmp_path / "out"),
            ]
        )


def test_images_of_another_size_than_the_networks_are_one_clear_line(finished, tmp_path):
    with pytest.raises(ZooError, match="the checkpoint's network takes 12x12x1: give --img_size"):
        evaluate(
            [word if word != "12" else "14" for word in COMMON]
            + ["--checkpoint", str(finished), "--output_path", str(tmp_path)]
        )


def test_more_evaluation_candidates_than_images_is_one_clear_line(finished, tmp_path):
    with pytest.raises(UsageError, match="--eval_cand_size 1000000: there are 3600"):
        evaluate(
            COMMON
            + [
                "--eval_cand_size",
                "1000000",
                "--checkpoint",
                str(finished),
                "--output_path",
                str(tmp_path),
            ]
        )


def test_more_training_candidates_than_images_is_one_clear_line(tmp_path):
    with pytest.raises(UsageError, match="candidates"):
        train(flags(tmp_path, 2, "--example_cand_size", "1000000"))


def test_an_encoder_is_taken_over_and_stays_as_it_was_when_frozen(finished, tmp_path):
    assert (
        train(
            flags(
                tmp_path,
                3,
                "--encoder_checkpoint",
                str(finished),
                "--freeze_encoder",
                "--random_seed",
                "9",
            )
        )
        == 0
    )
    before, after = (
        tf.train.load_checkpoint(str(folder))
        for folder in (
            finished / "ckpt" / "best" / "weights",
            tmp_path / "ckpt" / "step_00000003" / "weights",
        )
    )
    for name in before.get_variable_to_shape_map():
        if name.startswith("network/encoder/") and "VARIABLE_VALUE" in name:
            assert np.array_equal(before.get_tensor(name), after.get_tensor(name)), name
    key = "network/key/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert not np.array_equal(before.get_tensor(key), after.get_tensor(key))


def test_a_killed_run_resumes_to_the_uninterrupted_result_bit_for_bit(tmp_path):
    # In processes of their own: what else a process has imported changes last bits on 1.15.
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start("train", flags(whole, 8, "--save_step", "1", "--keep_checkpoints", "9")))
    process = start("train", flags(killed, 8, "--save_step", "1", "--keep_checkpoints", "9"))
    _kill_after(process, killed / "ckpt" / "step_00000003")
    finish(
        start("train", flags(killed, 8, "--save_step", "1", "--keep_checkpoints", "9", "--resume"))
    )
    assert events(killed, "start")[-1]["resumed_step"] >= 3
    one, other = (
        tf.train.load_checkpoint(str(folder / "ckpt" / "step_00000008" / "weights"))
        for folder in (whole, killed)
    )
    for name in one.get_variable_to_shape_map():
        if name.endswith("VARIABLE_VALUE"):
            assert np.array_equal(one.get_tensor(name), other.get_tensor(name)), name


def _kill_after(process, checkpoint):
    """SIGKILLs a process once a checkpoint is there."""
    try:
        for line in process.stdout:
            if checkpoint.exists():
                break
            assert not line.startswith("error:"), line
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
