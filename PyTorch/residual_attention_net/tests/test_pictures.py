"""Pictures: what they show of masks and runs, and which programs write them."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import torch
from picture_helpers import CLASSES, NETWORK, small_network, view_of, weights_in, write_run
from PIL import Image
from training_helpers import newest_checkpoint, trained

from common.core.command_line import exit_code_of
from common.core.errors import ZooError
from common.evidence.figures.figure import pixels
from common.runs.events import RunLog
from residual_attention_net import pictures
from residual_attention_net.pictures import caption
from residual_attention_net.visualize import main, read_run

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


# --- masks


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_modules_show_their_means_and_the_channels_that_vary_most(tmp_path, spatial_dims):
    """Of volumes the middle slice."""
    samples, view = view_of(tmp_path, strongest=2, spatial_dims=spatial_dims)
    network = small_network(spatial_dims=spatial_dims)
    masks = network.masks(torch.from_numpy(np.moveaxis(samples.images, -1, 1)).float() / 255)
    assert [module.name for module in view.modules] == list(masks)
    assert view.title == "a title" + ", middle slice of each volume" * (spatial_dims == 3)
    assert np.array_equal(
        view.images, samples.images if spatial_dims == 2 else samples.images[:, 8]
    )
    for module, size in zip(view.modules, (16, 8, 4)):
        mask = masks[module.name].numpy()
        spread = mask.reshape(mask.shape[:2] + (-1,)).std(axis=2)
        shown = mask if spatial_dims == 2 else mask[:, :, size // 2]
        np.testing.assert_allclose(module.mean, shown.mean(1), atol=1e-5)
        assert module.mean.shape == (2, size, size) and module.enlarged.shape == (2, 16, 16)
        assert np.array_equal(module.strongest_channels, np.argsort(-spread, axis=1)[:, :2])
        channel = module.strongest_channels[1][0]
        np.testing.assert_allclose(module.strongest[1][0], shown[1][channel], atol=1e-5)


@pytest.mark.parametrize(
    "truth, told",
    [
        (1, "true class: class 1\nprediction (right):\nclass 1 70.0 %\nclass 0 20.0 %"),
        (0, "true class: class 0\nprediction (wrong):\nclass 1"),
        (None, "prediction:\nclass 1"),
    ],
)
def test_beside_an_image_stand_true_class_and_prediction(truth, told):
    found = caption("data/a.png", truth, np.array([0.2, 0.7, 0.1]), CLASSES)
    assert found.startswith(f"a.png\n{told}")


@pytest.mark.parametrize("strongest", [0, 2])
def test_the_picture_names_modules_sizes_ranges_and_images(tmp_path, strongest):
    samples, view = view_of(tmp_path, strongest=strongest)
    figure = pictures.attention_figure(view)
    words = "\n".join(text.get_text() for text in figure.axes[0].texts)
    for module in view.modules:
        low, high = pictures.told_apart([module.mean.min(), module.mean.max()])
        assert f"{module.mean.shape[-1]} x {module.mean.shape[-1]}" in module.title
        assert module.title.endswith(f"{low} to {high}") and module.name in words
    assert samples.names[1] in words and "prediction" in words
    assert words.count("channel 0:") + words.count("one channel") >= strongest
    assert pixels(figure).std() > 0


def test_a_mask_that_is_the_same_everywhere_can_be_drawn(tmp_path):
    _, view = view_of(tmp_path)
    flat = dataclasses.replace(view.modules[0], mean=np.full((2, 4, 4), 0.5))
    assert flat.ends[0] < 0.5 < flat.ends[1]
    pixels(pictures.attention_figure(dataclasses.replace(view, modules=(flat,))))


def test_colours_go_from_blue_to_red_and_the_image_is_seen_below():
    white = np.full((1, 2, 3), 255, np.uint8)
    low, high = pictures.overlaid(white, np.array([[0.2, 0.8]]), 0.2, 0.8)[0].astype(int)
    assert low[2] > low[0] and high[0] > high[2]
    half = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    dark, bright = pictures.overlaid(half, np.full((1, 2), 0.5), 0.0, 1.0)[0].astype(int)
    assert bright.sum() > 2 * dark.sum()


@pytest.mark.parametrize(
    "ends, told",
    [
        ((0.25, 0.75), ["0.25", "0.75"]),
        ((0.5001, 0.5004), ["0.50010", "0.50040"]),
        ((0.5, 0.5), ["0.50", "0.50"]),
    ],
)
def test_the_ends_of_a_range_are_told_apart(ends, told):
    assert pictures.told_apart(ends) == told


# --- curves


def test_curves_have_a_panel_each_for_loss_accuracy_and_learning_rate(tmp_path):
    events = read_run(write_run(tmp_path, with_weights=False)).events
    figure = pictures.training_curves(events)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["training loss", "accuracy (%)", "learning rate"]
    assert figure.axes[-1].get_xlabel() == "optimizer step (30 in 1 epochs)"
    raw = figure.axes[0].lines[0]
    np.testing.assert_allclose(raw.get_ydata(), [2.0 / step for step in range(1, 31)])
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["validation: best 60.00 %", "test, final weights: 55.50 %"]
    assert len(pictures.training_curves(events[:31]).axes) == 2  # without evaluations
    with pytest.raises(ZooError, match="no training step"):
        pictures.training_curves(events[:1])


def test_a_loss_that_is_not_finite_is_marked():
    shared = {"event": "step", "epoch": 1, "learning_rate": 0.1}
    events = [{**shared, "step": step, "loss": "nan" if step == 7 else 1.0} for step in range(1, 9)]
    labels = [line.get_label() for line in pictures.training_curves(events).axes[0].lines]
    assert "not finite, first at step 7" in labels


@pytest.mark.parametrize("window", [1, 2, 5])
def test_smoothing_is_the_centred_mean(window):
    values = np.random.RandomState(0).rand(12)
    expected = [
        values[max(0, place - window // 2) : place + (window + 1) // 2].mean()
        for place in range(12)
    ]
    np.testing.assert_allclose(pictures.smoothed(values, window), expected)


# --- what runs write


def test_training_writes_masks_and_curves_and_learns_the_same_without(tmp_path):
    drawn = trained("train", tmp_path / "drawn", "--pictures_every", "1")
    plain = trained("train", tmp_path / "plain", "--pictures_every", "0")
    assert sorted(path.name for path in (drawn / "pictures").iterdir()) == [
        "attention_masks_00000004.png",
        "attention_masks_00000008.png",
        "curves.png",
    ]
    assert not (plain / "pictures").exists()
    one, other = (newest_checkpoint(folder)["model"] for folder in (drawn, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluation_writes_masks_and_figures(tmp_path):
    weights = str(weights_in(tmp_path))
    flags = ["--pth_path", weights, "--pictures_every", "1"]
    output = trained("evaluate", tmp_path / "out", *flags)
    assert (output / "pictures" / "attention_masks.png").stat().st_size > 1000
    assert '"accuracy"' in (output / "metrics.json").read_text()


# --- visualize


def visualize(*flags):
    return exit_code_of(main, [str(flag) for flag in flags])


def of_images(folder, *images):
    """Draws image files with the small network's weights."""
    flags = ["--pth_path", weights_in(folder), "--network", NETWORK, "--output_path", folder]
    return visualize(*flags, "--images", *images)


NO_UTF8 = os.fsdecode(b"\xca\xbd\xff.png")  # an archive of a Chinese Windows, unpacked


@pytest.mark.parametrize(
    "name", ["a$b$c^{.png", "\u732b.png", "a\x07b.png", "x" * 100 + ".png", NO_UTF8]
)
def test_any_file_name_can_be_drawn(tmp_path, name):
    Image.new("RGB", (16, 16)).save(str(tmp_path / name))
    assert of_images(tmp_path, tmp_path / name) == 0


def test_a_run_gives_its_curves_and_the_masks_of_its_checkpoint(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert visualize("--run", folder, "--count", "2", "--device_type", "cpu") == 0
    found = sorted(path.name for path in (folder / "pictures").iterdir())
    assert found == ["attention_masks.png", "curves.png"]
    told = capsys.readouterr().out
    for name in found:
        assert "wrote {}".format(folder / "pictures" / name) in told
        with Image.open(str(folder / "pictures" / name)) as picture:
            assert min(picture.size) > 300
    assert read_run(folder).weights == folder / "ckpt" / "best.pt"
    (folder / "ckpt" / "best.pt").unlink()
    assert read_run(folder).weights == folder / "ckpt" / "step_00000030" / "weights.pt"


def test_a_run_without_a_checkpoint_gives_its_curves_only(tmp_path, capsys):
    folder = write_run(tmp_path / "run", with_weights=False)
    assert visualize("--run_folder", folder, "--output_path", tmp_path / "other") == 0
    assert [path.name for path in (tmp_path / "other" / "pictures").iterdir()] == ["curves.png"]
    assert "no checkpoint" in capsys.readouterr().err


def test_the_runs_data_are_found_by_its_command_line(tmp_path):
    command = "train.py --seed 1 '--data_path=/with space' --unknown"
    with RunLog(tmp_path / "rank_0") as log:
        log.event("start", config={"dataset": "cifar10"}, command=command)
    assert read_run(tmp_path).dataset() == ("cifar10", "/with space")


@pytest.mark.parametrize(
    "flags, code, told",
    [
        (["--run", "nowhere"], 1, "give the folder of a run"),
        ([], 64, "nothing to draw"),
        (["--pth_path", "w.pth"], 64, "no images"),
        (["--pth_path", "w.pth", "--dataset", "digits", "--channels", "99"], 64, "at most 16"),
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
