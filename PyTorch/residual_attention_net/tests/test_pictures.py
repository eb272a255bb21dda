"""Pictures: what they show of masks and runs, and which programs write them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from training_helpers import checkpoint_of, newest_checkpoint, small_network, trained, weights_in

from common.core.command_line import exit_code_of
from common.core.errors import ZooError
from common.evidence.figures.figure import pixels
from common.runs.events import FILE_NAME, RunLog, effective_events
from residual_attention_net import pictures
from residual_attention_net.data.samples import dataset_samples
from residual_attention_net.visualize import VisualizeFlags, main, of_run

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
CLASSES = tuple(f"class {number}" for number in range(10))


def write_run(folder, steps=30, with_weights=True, command="train.py --dataset synthetic"):
    """A run folder as training leaves it."""
    about = {"config": {"dataset": "synthetic"}, "command": command, "resumed_step": 0}
    with RunLog(folder / "rank_0") as log:
        log.event("start", model="residual_attention_net", **about)
        for step in range(1, steps + 1):
            log.event("step", step=step, epoch=1, loss=2.0 / step, learning_rate=0.1)
        for split, role, accuracy in (("validation", "progress", 60.0), ("test", "final", 55.5)):
            told = {"split": split, "role": role, "metrics": {"accuracy": accuracy}}
            log.event("evaluation", epoch=1, step=steps, n=20, **told)
    if with_weights:
        checkpoint_of(folder, small_network(), steps)
    return folder


# --- masks


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_picture_shows_each_modules_mean_mask_of_each_image(spatial_dims):
    """Of volumes the middle slice."""
    data = "synthetic_volumes" if spatial_dims == 3 else "synthetic"
    samples = dataset_samples(data, None, 2, 16)
    network = small_network(spatial_dims=spatial_dims)
    masks = network.masks(torch.from_numpy(np.moveaxis(samples.images, -1, 1)).float() / 255)
    modules = pictures.masks_of_modules(network, samples.images)
    assert [module.name for module in modules] == list(masks)
    figure = pictures.attention_figure(network, samples, CLASSES, "a title")
    words = "\n".join(text.get_text() for text in figure.axes[0].texts)
    for module, size in zip(modules, (16, 8, 4)):
        mask = masks[module.name].numpy()
        shown = mask if spatial_dims == 2 else mask[:, :, size // 2]
        np.testing.assert_allclose(module.mean, shown.mean(1), atol=1e-5)
        assert module.mean.shape == (2, size, size) and module.enlarged.shape == (2, 16, 16)
        assert f"{size} x {size}" in module.title and module.name in words
    assert samples.names[1][:20] in words and "prediction" in words and pixels(figure).std() > 0


@pytest.mark.parametrize(
    "truth, told",
    [
        (1, "true class: class 1\nprediction (right):\nclass 1 70.0 %\nclass 0 20.0 %"),
        (0, "true class: class 0\nprediction (wrong):\nclass 1"),
        (-1, "prediction:\nclass 1"),
    ],
)
def test_beside_an_image_stand_true_class_and_prediction(truth, told):
    found = pictures.caption("data/a.png", truth, np.array([0.2, 0.7, 0.1]), CLASSES)
    assert found.startswith(f"a.png\n{told}")


# --- curves


def test_curves_have_a_panel_each_for_loss_accuracy_and_learning_rate(tmp_path):
    events = effective_events(write_run(tmp_path, with_weights=False) / "rank_0" / FILE_NAME)
    figure = pictures.training_curves(events)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["training loss", "accuracy (%)", "learning rate"]
    assert figure.axes[-1].get_xlabel() == "optimizer step (30 in 1 epochs)"
    raw, mean = (line.get_ydata() for line in figure.axes[0].lines)
    np.testing.assert_allclose(raw, [2.0 / step for step in range(1, 31)])
    np.testing.assert_allclose(mean[10], raw[8:13].mean())
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["validation: best 60.00 %", "test, final weights: 55.50 %"]
    with pytest.raises(ZooError, match="no training step"):
        pictures.training_curves(events[:1])


# --- what runs write


def test_training_writes_masks_and_curves_and_learns_the_same_without(tmp_path):
    flags = ["--total_epochs", "3", "--train_steps", "9"]
    drawn = trained("train", tmp_path / "drawn", *flags, "--pictures_every", "2")
    plain = trained("train", tmp_path / "plain", *flags, "--pictures_every", "0")
    names = {path.name for path in (drawn / "pictures").iterdir()}
    assert names == {f"attention_masks_{n:08d}.png" for n in (8, 9)} | {"curves.png"}
    assert not (plain / "pictures").exists()
    one, other = (newest_checkpoint(folder)["model"] for folder in (drawn, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluation_writes_masks_and_figures(tmp_path):
    flags = ["--pth_path", str(weights_in(tmp_path)), "--pictures_every", "1"]
    output = trained("evaluate", tmp_path / "out", *flags)
    assert (output / "pictures" / "attention_masks.png").stat().st_size > 1000
    assert '"accuracy"' in (output / "metrics.json").read_text()


# --- visualize


def visualize(*flags):
    return exit_code_of(main, [str(flag) for flag in flags])


def of_images(folder, *images):
    """Draws image files with the small network's weights."""
    flags = ["--pth_path", weights_in(folder), "--network", "small_16input"]
    return visualize(*flags, "--output_path", folder, "--images", *images)


def test_a_run_gives_its_curves_and_the_masks_of_its_checkpoint(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert visualize("--run_folder", folder, "--count", "2", "--device_type", "cpu") == 0
    found = sorted(path.name for path in (folder / "pictures").iterdir())
    assert found == ["attention_masks.png", "curves.png"]
    assert "wrote {}".format(folder / "pictures" / "curves.png") in capsys.readouterr().out


def test_the_runs_weights_and_data_are_found(tmp_path):
    folder = write_run(tmp_path, command="train.py --seed 1 '--data_path=/with space' --unknown")
    flags = VisualizeFlags(run=str(folder))
    found = of_run(flags, effective_events(folder / "rank_0" / FILE_NAME))
    assert (found.dataset, found.data_path) == ("synthetic", "/with space")
    assert found.pth_path == str(folder / "ckpt" / "best.pt")
    (folder / "ckpt" / "best.pt").unlink()
    newest = folder / "ckpt" / "step_00000030" / "weights.pt"
    assert of_run(flags, []).pth_path == str(newest)


@pytest.mark.parametrize(
    "flags, code, told",
    [
        (["--run", "nowhere"], 1, "no run is in it"),
        ([], 64, "nothing to draw"),
        (["--pth_path", "w.pth"], 64, "no images"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(capsys, flags, code, told):
    assert visualize(*flags) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_an_unreadable_image_is_told_and_the_others_are_drawn(tmp_path, capsys):
    assert of_images(tmp_path, tmp_path / "missing.png") == 1
    assert not (tmp_path / "pictures").exists()
    Image.new("RGB", (16, 16)).save(str(tmp_path / "a.png"))
    assert of_images(tmp_path, tmp_path / "a.png", tmp_path / "missing.png") == 1
    assert "missing.png" in capsys.readouterr().err
    assert (tmp_path / "pictures" / "attention_masks.png").exists()
