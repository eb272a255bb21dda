"""Training, dumps and evaluation through the entry points, on a few tiny scenes."""

from __future__ import annotations

import json

import data_files as files
import pytest
from slot_training_helpers import evaluation_flags, flags, make_scenes, make_sprites

from common.core.errors import UsageError, ZooError
from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump import find_dump
from common.runs.record import from_run_folder, read_record
from slot_attention import predict
from slot_attention.object_discovery import eval as discovery_eval
from slot_attention.object_discovery import train as discovery_train
from slot_attention.set_prediction import eval as prediction_eval
from slot_attention.set_prediction import train as prediction_train
from tests.processes import events

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]
TASKS = ["object_discovery", "set_prediction"]
TRAIN = {"object_discovery": discovery_train.main, "set_prediction": prediction_train.main}
EVALUATE = {"object_discovery": discovery_eval.main, "set_prediction": prediction_eval.main}
SCORE = {"object_discovery": "fg_ari", "set_prediction": "ap_inf"}
PICTURE = {"object_discovery": "slots", "set_prediction": "objects"}
ODD = "a [b]*?\\c"  # a name that TensorFlow takes for a pattern
# Layers of a dump, in the order of their execution; the last may be the prediction itself.
ENCODED = ["encoder_cnn/0", "encoder_pos", "mlp/1", "slot_attention/initial"]
ENCODED += ["slot_attention/attention@1", "slot_attention/slots@3"]
LAYERS = {
    "object_discovery": ENCODED + ["decoder_pos", "decoder_cnn/0", "masks", "combined"],
    "set_prediction": ENCODED + ["mlp_classifier/0", "predictions", "matching"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    made = make_sprites, make_scenes
    folders = (make(tmp_path_factory.mktemp("data")) for make in made)
    return dict(zip(TASKS, folders))


@pytest.fixture(scope="module", params=TASKS)
def finished(request, data, tmp_path_factory):
    """A finished run that stored its second step: (task, its folder)."""
    task, folder = request.param, tmp_path_factory.mktemp("run") / ODD
    more = ["--evaluate_every=3", "--pictures_every=3", "--dump_tensors=2"]
    assert TRAIN[task](flags(task, data[task], folder, 6, *more)) == 0
    return task, folder


def test_training_writes_record_pictures_and_graph(finished):
    task, folder = finished
    record = from_run_folder(folder)
    assert (record.model, record.task, record.status) == ("slot_attention", task, "complete")
    assert record.progress.steps == 6 and record.metrics.n_eval == 6
    assert SCORE[task] in record.metrics.final
    assert record.speed.data_wait is not None
    steps = {f"{PICTURE[task]}_{step:08d}.png" for step in (3, 6)}
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names == steps | {"training.gif", "curve.png"}
    assert "node {" in (folder / "ckpt" / "graph.pbtxt").read_text()


def test_training_tells_diagnostics_of_the_slots(finished):
    task, folder = finished
    wanted = {"attention_entropy", "similar_slots", "gradient_norm"}
    if task == "object_discovery":
        wanted |= {"slots_in_use", "duplicate_masks"}
    assert set(events(folder, "diagnostics")[-1]["values"]) == wanted


def test_validation_chooses_and_test_is_seen_only_at_the_end(finished):
    told = [(event["split"], event["role"]) for event in events(finished[1], "evaluation")]
    assert told == [("validation", "progress")] * 2 + [("test", "final"), ("test", "best")]


def test_evaluation_of_a_run_gives_the_figures_of_its_best_checkpoint(finished, data, tmp_path):
    task, folder = finished
    words = evaluation_flags(task, data[task], tmp_path, f"--checkpoint_dir={folder}")
    assert EVALUATE[task](words) == 0
    told = json.loads((tmp_path / "metrics.json").read_text())
    best = events(folder, "evaluation")[-1]
    assert told["n"] == 6
    assert told["metrics"][SCORE[task]] == pytest.approx(best["metrics"][SCORE[task]], abs=1e-6)
    assert "6 scenes of test" in (tmp_path / "metrics.txt").read_text()
    assert (tmp_path / (PICTURE[task] + ".png")).exists()
    assert read_record(tmp_path / "record.json").metrics.n_eval == 6


def test_evaluation_of_the_other_tasks_run_is_refused(finished, data, tmp_path):
    task, folder = finished
    other = TASKS[1 - TASKS.index(task)]
    words = evaluation_flags(other, data[other], tmp_path, f"--checkpoint_dir={folder}")
    with pytest.raises(ZooError, match=f"is of {task}, not of {other}"):
        EVALUATE[other](words)


def test_a_dump_has_layers_in_order_noise_batch_and_gradients(finished):
    task, folder = finished
    dump = find_dump(folder)
    of_kind = {
        kind: [entry.name for entry in dump.index.tensors if entry.kind == kind]
        for kind in ("activation", "gradient", "weight")
    }
    names = of_kind["activation"]
    places = [names.index(name) for name in LAYERS[task] if name in names]
    assert len(places) >= len(LAYERS[task]) - 1 and places == sorted(places)
    assert dump.inputs("noise")["slots"].shape == (4, 3, 64)
    fields = {"image"} if task == "object_discovery" else {"image", "target"}
    assert set(dump.inputs("batch")) == fields
    assert of_kind["gradient"] == of_kind["weight"][::-1]


def test_another_seed_repeats_a_step_from_the_dump(finished, data, tmp_path):
    task, folder = finished
    TRAIN[task](flags(task, data[task], tmp_path, 3, "--seed=7", f"--dump_from={folder}"))
    outcome = compare_dumps(find_dump(folder), find_dump(tmp_path))
    assert outcome.verdict == WITHIN
    assert max(item.relative for item in outcome.differences) < 1e-6
    assert [event["step"] for event in events(tmp_path, "step")] == [2, 3]


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--batch_size=25", "--batch_size 25 .* 24 training scenes"),
        ("--ranks=2", "--ranks 2"),  # that nobody started
    ],
)
def test_what_can_not_be_is_one_clear_line(flag, message, data, tmp_path):
    words = flags("object_discovery", data["object_discovery"], tmp_path, 1, flag)
    with pytest.raises(UsageError, match=message):
        discovery_train.main(words)


def test_fewer_slots_than_objects_and_background_is_said_with_the_counts(data, tmp_path, capsys):
    words = flags("object_discovery", data["object_discovery"], tmp_path, 1, "--num_slots=2")
    assert discovery_train.main(words) == 0
    assert (
        "warning: 2 slots, but scenes of synthetic_sprites have up to 2 objects and a "
        "background" in capsys.readouterr().out
    )


def test_a_trained_networks_slots_are_drawn_of_own_images(finished, tmp_path, capsys):
    task, folder = finished
    if task != "object_discovery":
        pytest.skip("only object discovery has slots to draw")
    for name, size in (("a/one.png", (30, 20)), ("a/two.png", (16, 16)), ("three.png", (9, 40))):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(files.png(files.clevr_image(1, size)))
    words = ["--images", str(tmp_path / "images"), str(tmp_path / "images" / "three.png")]
    words += ["--checkpoint", str(folder), "--output_path", str(tmp_path / "out")]
    assert predict.main([*words, "--device", "cpu", "--evaluation_batch_size", "3"]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a_one.png", "a_two.png", "three-2.png", "three.png"]
    assert capsys.readouterr().out.count("picture: ") == 4


def test_own_images_that_are_not_there_are_one_line(tmp_path):
    words = ["--checkpoint", str(tmp_path), "--images"]
    with pytest.raises(UsageError, match="there is no such file or folder"):
        predict.main([*words, str(tmp_path / "nothing")])
    with pytest.raises(ZooError, match="there are no images in"):
        predict.main([*words, str(tmp_path)])
