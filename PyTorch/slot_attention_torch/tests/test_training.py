"""Training and evaluation through the entry points: records, resume, ranks, exports, pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from slot_kept_weights import require_recorded_precision
from slot_training_helpers import evaluation_flags, flags, make_scenes, make_sprites

from common.core.errors import UsageError
from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump import find_dump
from common.runs.record import from_run_folder, read_record
from common.training.stored_weights import StoredWeights, find_weights
from slot_attention_torch import load
from slot_attention_torch.export import main as export
from slot_attention_torch.options import entry_point
from slot_attention_torch.predict import main as predict
from tests.processes import events, finish, start_ranks

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[3]
TASKS = ["object_discovery", "set_prediction"]
SCORE = {"object_discovery": "fg_ari", "set_prediction": "ap_inf"}
PICTURE = {"object_discovery": "slots", "set_prediction": "objects"}


def train(task, *words):
    return entry_point(task, "train")(flags(task, *words))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folders = (make(tmp_path_factory.mktemp("data")) for make in (make_sprites, make_scenes))
    return dict(zip(TASKS, folders))


@pytest.fixture(scope="module", params=TASKS)
def finished(request, data, tmp_path_factory):
    """A finished run that stored its second step: (task, its folder)."""
    task, folder = request.param, tmp_path_factory.mktemp("run") / "run"
    more = ["--evaluate_every=3", "--pictures_every=3", "--dump_tensors=2"]
    assert train(task, data[task], folder, 6, *more) == 0
    return task, folder


def arrays(folder):
    return StoredWeights(find_weights(str(folder)).prefix).arrays()


def test_training_writes_record_pictures_and_diagnostics(finished):
    task, folder = finished
    record = from_run_folder(folder)
    about = (record.model, record.task, record.status)
    assert about == ("slot_attention_torch", task, "complete")
    assert record.progress.steps == 6 and SCORE[task] in record.metrics.final
    told = [(event["split"], event["role"]) for event in events(folder, "evaluation")]
    assert told == [("validation", "progress")] * 2 + [("test", "final"), ("test", "best")]
    steps = {f"{PICTURE[task]}_{step:08d}.png" for step in (3, 6)}
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names == steps | {"training.gif", "curve.png"}
    wanted = {"attention_entropy", "similar_slots", "gradient_norm"}
    if task == "object_discovery":
        wanted |= {"slots_in_use", "duplicate_masks"}
    assert set(events(folder, "diagnostics")[-1]["values"]) == wanted


def test_evaluation_of_a_run_gives_the_figures_of_its_best_checkpoint(finished, data, tmp_path):
    task, folder = finished
    words = evaluation_flags(task, data[task], tmp_path, f"--checkpoint_dir={folder}")
    assert entry_point(task, "eval")(words) == 0
    told = json.loads((tmp_path / "metrics.json").read_text())
    best = events(folder, "evaluation")[-1]
    assert told["metrics"][SCORE[task]] == pytest.approx(best["metrics"][SCORE[task]], abs=1e-6)
    assert (tmp_path / (PICTURE[task] + ".png")).exists()
    assert read_record(tmp_path / "record.json").metrics.n_eval == 6


@pytest.mark.parametrize("task", TASKS)
def test_a_resumed_run_ends_with_the_same_bits(task, data, tmp_path):
    assert train(task, data[task], tmp_path / "whole", 4) == 0
    for steps, more in ((2, []), (4, ["--resume"])):
        assert train(task, data[task], tmp_path / "parts", steps, *more) == 0
    one, other = (arrays(tmp_path / name) for name in ("whole", "parts"))
    assert len(one) > 30 and all(np.array_equal(one[name], other[name]) for name in one)


def test_another_seed_repeats_a_step_from_the_dump(finished, data, tmp_path):
    task, folder = finished
    train(task, data[task], tmp_path, 3, "--seed=7", f"--dump_from={folder}")
    outcome = compare_dumps(find_dump(folder), find_dump(tmp_path))
    assert outcome.verdict == WITHIN
    assert max(item.relative for item in outcome.differences) < 1e-6


def test_bfloat16_trains_and_tells_its_arithmetic(data, tmp_path):
    from common.training.torch.runtime import VERSION

    if VERSION < (1, 10):
        pytest.skip("autocast on a CPU came with torch 1.10")
    for task in TASKS:
        folder = tmp_path / task
        more = ["--precision_mode=allow_mix_precision_bf16", "--clip_gradient_norm=1"]
        assert train(task, data[task], folder, 2, *more) == 0
        assert "bfloat16" in events(folder, "start")[0]["precision"]["arithmetic"]


def test_two_ranks_are_one_run_with_the_same_figures_on_both(data, tmp_path):
    """Each rank takes its half of the global batch; evaluations are shared."""
    task = "object_discovery"
    words = flags(task, data[task], tmp_path, 3, "--evaluate_every=3", "--ranks=2")
    finish(*start_ranks(["-m", f"slot_attention_torch.{task}.train", *words]))
    evaluations = [events(tmp_path, "evaluation", rank) for rank in (0, 1)]
    final = [event for told in evaluations for event in told if event["role"] == "final"]
    assert len(final) == 2 and final[0]["metrics"] == final[1]["metrics"] and final[0]["n"] == 6
    one, other = (
        {event["step"]: event["loss"] for event in events(tmp_path, "step", rank)}
        for rank in (0, 1)
    )
    assert all(one[step] == other[step] for step in (1, 2, 3))


def test_what_can_not_be_is_one_clear_line(data, tmp_path):
    for flag, message in (("--batch_size=25", "24 training scenes"), ("--ranks=2", "--ranks 2")):
        with pytest.raises(UsageError, match=message):
            train("object_discovery", data["object_discovery"], tmp_path, 1, flag)


def test_own_images_are_drawn(finished, tmp_path, capsys):
    import data_files as files

    task, folder = finished
    if task != "object_discovery":
        pytest.skip("only object discovery has slots to draw")
    for name, size in (("one.png", (30, 20)), ("two.png", (16, 16))):
        (tmp_path / name).write_bytes(files.png(files.clevr_image(1, size)))
    words = ["--images", str(tmp_path), "--checkpoint", str(folder), "--device", "cpu"]
    assert predict([*words, "--output_path", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.png", "two.png"]
    assert capsys.readouterr().out.count("picture: ") == 2


def test_exports_are_written_and_held_to_the_network(finished, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    words = [f"--checkpoint={finished[1]}", f"--output_path={tmp_path}", "--batch_size=2"]
    assert export(words) == 0
    assert "network.onnx" in capsys.readouterr().out
    told = json.loads((tmp_path / "export.json").read_text("utf-8"))
    assert {"images", "noise"} == set(told["inputs"]) and "slots" in told["outputs"]


def test_images_pass_in_batches_whatever_their_number():
    network = load(batch=2)
    images = np.random.RandomState(0).randint(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    found = network(images)["predictions"]
    assert found.shape == (3, 4, 19)
    assert np.abs(network(images[2:])["predictions"] - found[2:]).max() < 1e-5


def test_the_kept_weights_give_the_recorded_figures():
    require_recorded_precision(load)


def test_without_tensorflow_everything_is_there():
    """Modules that both share must not import it."""
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['tf_keras'] = None; "
        "import slot_attention_torch.training, slot_attention_torch.trained, "
        "slot_attention_torch.predict, slot_attention_torch.export, slot_attention.tasks; "
        "assert not [m for m in sys.modules if m.startswith('common.training.tensorflow')]"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "PyTorch")])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0
