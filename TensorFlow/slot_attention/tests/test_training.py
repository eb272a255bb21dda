"""Training and evaluation through the entry points, on a few tiny scenes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from slot_training_helpers import events, flags, make_scenes, make_sprites, start

from common.core.errors import UsageError, ZooError
from common.runs.record import from_run_folder, read_record
from common.training.tensorflow.runtime import tf
from slot_attention.object_discovery import eval as discovery_eval
from slot_attention.object_discovery import train as discovery_train
from slot_attention.set_prediction import eval as prediction_eval
from slot_attention.set_prediction import train as prediction_train

pytestmark = pytest.mark.tensorflow
TASKS = ["object_discovery", "set_prediction"]
TRAIN = {"object_discovery": discovery_train.main, "set_prediction": prediction_train.main}
EVALUATE = {"object_discovery": discovery_eval.main, "set_prediction": prediction_eval.main}
SCORE = {"object_discovery": "fg_ari", "set_prediction": "ap_inf"}
PICTURE = {"object_discovery": "slots", "set_prediction": "objects"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return {
        "object_discovery": make_sprites(tmp_path_factory.mktemp("sprites")),
        "set_prediction": make_scenes(tmp_path_factory.mktemp("scenes")),
    }


@pytest.fixture(scope="module", params=TASKS)
def finished(request, data, tmp_path_factory):
    """A finished run: (task, its folder)."""
    task, folder = request.param, tmp_path_factory.mktemp("run")
    assert (
        TRAIN[task](
            flags(task, data[task], folder, 6, "--evaluate_every", "3", "--pictures_every", "3")
        )
        == 0
    )
    return task, folder


def test_training_writes_what_a_record_needs(finished):
    task, folder = finished
    record = from_run_folder(folder)
    assert (record.model, record.task, record.status) == ("slot_attention", task, "complete")
    assert record.progress.steps == 6
    assert SCORE[task] in record.metrics.final
    assert record.metrics.n_eval == 6
    assert record.speed.data_wait is not None


def test_training_writes_pictures_an_animation_and_a_curve(finished):
    task, folder = finished
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names == {
        f"{PICTURE[task]}_00000003.png",
        "training.gif",
        "curve.png",
        f"{PICTURE[task]}_00000006.png",
    }


def test_training_writes_the_graph_beside_the_checkpoints(finished):
    assert "node {" in (finished[1] / "ckpt" / "graph.pbtxt").read_text()


def test_training_tells_diagnostics_of_the_slots(finished):
    task, folder = finished
    told = events(folder, "diagnostics")[-1]["values"]
    wanted = {"attention_entropy", "similar_slots", "gradient_norm"}
    if task == "object_discovery":
        wanted |= {"slots_in_use", "duplicate_masks"}
    assert set(told) == wanted


def test_validation_chooses_and_test_is_seen_only_at_the_end(finished):
    told = events(finished[1], "evaluation")
    assert [(event["split"], event["role"]) for event in told] == [
        ("validation", "progress"),
        ("validation", "progress"),
        ("test", "final"),
        ("test", "best"),
    ]


def test_evaluation_of_a_run_gives_the_figures_of_its_best_checkpoint(finished, data, tmp_path):
    task, folder = finished
    words = flags(task, data[task], tmp_path, 1)
    assert EVALUATE[task](_without_training_flags(words) + ["--checkpoint_dir", str(folder)]) == 0
    told = json.loads((tmp_path / "metrics.json").read_text())
    best = events(folder, "evaluation")[-1]
    assert told["n"] == 6
    assert told["metrics"][SCORE[task]] == pytest.approx(best["metrics"][SCORE[task]], abs=1e-6)


def test_evaluation_writes_text_a_picture_and_a_record(finished, data, tmp_path):
    task, folder = finished
    words = flags(task, data[task], tmp_path, 1)
    EVALUATE[task](_without_training_flags(words) + ["--checkpoint_dir", str(folder)])
    assert "6 scenes of test" in (tmp_path / "metrics.txt").read_text()
    assert (tmp_path / (PICTURE[task] + ".png")).exists()
    assert read_record(tmp_path / "record.json").metrics.n_eval == 6


def test_evaluation_of_the_other_tasks_run_is_refused(finished, data, tmp_path):
    task, folder = finished
    other = TASKS[1 - TASKS.index(task)]
    words = _without_training_flags(flags(other, data[other], tmp_path, 1))
    with pytest.raises(ZooError, match=f"is of {task}, not of {other}"):
        EVALUATE[other](words + ["--checkpoint_dir", str(folder)])


def _without_training_flags(words):
    """The flags that evaluation shares with training, without the network's."""
    kept, skipped = (
        [],
        {
            "--num_train_steps",
            "--evaluate_every",
            "--pictures_every",
            "--diagnostics_every",
            "--log_every",
            "--num_slots",
            "--resolution",
        },
    )
    for flag, value in zip(words[::2], words[1::2]):
        if flag not in skipped:
            kept += [flag, value]
    return kept


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_run_resumes_to_the_uninterrupted_result_bit_for_bit(task, data, tmp_path):
    # In processes of their own: what else a process has imported changes last bits on 1.15.
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    every = ["--checkpoint_minutes", "0"]
    _run_to_the_end(task, flags(task, data[task], whole, 8, *every))
    process = start(task, "train", flags(task, data[task], killed, 8, *every))
    _kill_after(process, killed, step=3)
    _run_to_the_end(task, flags(task, data[task], killed, 8, "--resume", *every))
    assert events(killed, "start")[-1]["resumed_step"] >= 3
    _assert_same_weights(whole / "ckpt" / "step_00000008", killed / "ckpt" / "step_00000008")


def _run_to_the_end(task, words):
    process = start(task, "train", words)
    text = process.communicate()[0]
    assert process.returncode == 0, text


def _kill_after(process, folder, step):
    """SIGKILLs a process once a step's checkpoint is there."""
    try:
        for line in process.stdout:
            if (folder / "ckpt" / f"step_{step:08d}").exists():
                break
            assert not line.startswith("error:"), line
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _assert_same_weights(one, other):
    readers = [tf.train.load_checkpoint(str(folder / "weights")) for folder in (one, other)]
    names = [
        name
        for name in readers[0].get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
    ]
    assert any("OPTIMIZER" in name or "Adam" in name for name in names)
    for name in names:
        assert np.array_equal(*(reader.get_tensor(name) for reader in readers)), name


def test_fewer_slots_than_objects_and_background_is_said_with_the_counts(data, tmp_path, capsys):
    words = flags("object_discovery", data["object_discovery"], tmp_path, 1, "--num_slots", "2")
    assert discovery_train.main(words) == 0
    assert (
        "warning: 2 slots, but scenes of synthetic_sprites have up to 2 objects and a "
        "background" in capsys.readouterr().out
    )


def test_a_batch_larger_than_the_data_is_one_clear_line(data, tmp_path):
    words = flags("object_discovery", data["object_discovery"], tmp_path, 1, "--batch_size", "25")
    with pytest.raises(UsageError, match="batch size 25 .* 24 training scenes"):
        discovery_train.main(words)


def test_ranks_that_nobody_started_are_refused(data, tmp_path):
    words = flags("object_discovery", data["object_discovery"], tmp_path, 1, "--ranks", "2")
    with pytest.raises(UsageError, match="--ranks 2"):
        discovery_train.main(words)


def test_learning_rate_grows_with_the_square_root_of_the_ranks():
    from types import SimpleNamespace

    from slot_attention.recipe import peak_learning_rate

    options = SimpleNamespace(learning_rate=0.1, scale_learning_rate=True)
    session = SimpleNamespace(options=options, place=SimpleNamespace(world_size=4))
    assert peak_learning_rate(session) == pytest.approx(0.2)
