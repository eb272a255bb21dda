"""Pictures: what they show of masks and runs, and which training and evaluation write."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from picture_helpers import CLASSES, small_network, view_of, weights_in, write_run  # noqa: E402
from training_helpers import newest_checkpoint, run  # noqa: E402

from common.core.errors import ZooError  # noqa: E402
from common.evidence.figures.figure import pixels  # noqa: E402
from residual_attention_net import pictures  # noqa: E402
from residual_attention_net.attention import attention_masks, caption  # noqa: E402
from residual_attention_net.visualize import read_run  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


# --- masks


def test_every_module_has_a_mask_of_its_own_size_and_one_of_the_images():
    network, inputs = small_network(), torch.rand(2, 3, 16, 16)
    masks, found = network.masks(inputs), attention_masks(network, inputs)
    assert [module.name for module in found] == [name for name, _ in network.attention_modules()]
    assert [module.mean.shape for module in found] == [(2, 16, 16), (2, 8, 8), (2, 4, 4)]
    for module in found:
        assert module.enlarged.shape == (2, 16, 16)
        np.testing.assert_allclose(module.mean, masks[module.name].mean(1).numpy(), rtol=1e-6)


def test_single_channels_are_those_that_vary_most_over_each_image():
    network, inputs = small_network(), torch.rand(2, 3, 16, 16)
    masks = network.masks(inputs)
    for module in attention_masks(network, inputs, strongest=2):
        mask = masks[module.name].numpy()
        spread = mask.reshape(mask.shape[:2] + (-1,)).std(axis=2)
        assert np.array_equal(module.strongest_channels, np.argsort(-spread, axis=1)[:, :2])
        assert np.array_equal(module.strongest[1][0], mask[1][module.strongest_channels[1][0]])


def test_of_a_volume_the_middle_slice_is_shown(tmp_path):
    samples, view = view_of(tmp_path, spatial_dims=3, strongest=1)
    assert np.array_equal(view.images, samples.images[:, 8])
    assert view.title == "a title, middle slice of each volume"
    inputs = torch.from_numpy(samples.images).permute(0, 4, 1, 2, 3).float() / 255
    masks = small_network(spatial_dims=3).masks(inputs)
    for module in view.modules:
        middle = masks[module.name][:, :, module.size // 2]
        np.testing.assert_allclose(module.mean, middle.mean(1).numpy(), atol=1e-5)
        assert module.enlarged.shape == (2, 16, 16)
        assert module.strongest.shape == (2, 1, module.size, module.size)


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
        title = pictures.module_title(module)
        assert f"{module.size} x {module.size}" in title
        assert title.endswith(f"{low} to {high}")
        assert module.name in words
    assert samples.names[1] in words and "prediction" in words
    assert words.count("channel 0:") + words.count("one channel") >= strongest
    assert pixels(figure).std() > 0


def test_a_mask_that_is_the_same_everywhere_can_be_drawn(tmp_path):
    _, view = view_of(tmp_path)
    flat = dataclasses.replace(view.modules[0], mean=np.full((2, 4, 4), 0.5))
    low, high = pictures.value_range(flat)
    assert low < 0.5 < high
    pixels(pictures.attention_figure(dataclasses.replace(view, modules=(flat,))))


def test_colours_go_from_blue_to_red_and_the_image_is_seen_below():
    white = np.full((1, 2, 3), 255, np.uint8)
    low, high = pictures.overlaid(white, np.array([[0.2, 0.8]]), 0.2, 0.8)[0].astype(int)
    assert low[2] > low[0] and high[0] > high[2]
    half = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    dark, bright = pictures.overlaid(half, np.full((1, 2), 0.5), 0.0, 1.0)[0].astype(int)
    assert bright.sum() > 2 * dark.sum()


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.25, 0.75, ["0.25", "0.75"]),
        (0.5001, 0.5004, ["0.50010", "0.50040"]),
        (0.5, 0.5, ["0.50", "0.50"]),
    ],
)
def test_the_ends_of_a_range_are_told_apart(low, high, expected):
    assert pictures.told_apart([low, high]) == expected


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


def test_a_loss_that_is_not_finite_is_marked():
    events = [
        {
            "event": "step",
            "step": step,
            "epoch": 1,
            "learning_rate": 0.1,
            "loss": "nan" if step == 7 else 1.0,
        }
        for step in range(1, 9)
    ]
    labels = [line.get_label() for line in pictures.training_curves(events).axes[0].lines]
    assert "not finite, first at step 7" in labels


def test_no_steps_are_an_error():
    with pytest.raises(ZooError, match="no training step"):
        pictures.training_curves([{"event": "start"}])


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
    drawn = run("train", tmp_path / "drawn", "--pictures_every", "1")
    plain = run("train", tmp_path / "plain", "--pictures_every", "0")
    assert drawn.returncode == plain.returncode == 0, drawn.stdout
    assert sorted(path.name for path in (tmp_path / "drawn" / "pictures").iterdir()) == [
        "attention_masks_00000004.png",
        "attention_masks_00000008.png",
        "curves.png",
    ]
    assert not (tmp_path / "plain" / "pictures").exists()
    one, other = (newest_checkpoint(tmp_path / name)["model"] for name in ("drawn", "plain"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluation_writes_masks(tmp_path):
    weights = str(weights_in(tmp_path))
    done = run("evaluate", tmp_path / "out", "--pth_path", weights, "--pictures_every", "1")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out" / "pictures" / "attention_masks.png").stat().st_size > 1000
