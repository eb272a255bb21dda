"""Pictures: what they are made of, that nothing on them overlaps, and what a run gives."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Text = pytest.importorskip("matplotlib.text").Text
Image = pytest.importorskip("PIL.Image")

from common.core.command_line import exit_code_of  # noqa: E402
from common.core.errors import ZooError  # noqa: E402
from common.runs.events import RunLog  # noqa: E402
from residual_attention_net import pictures  # noqa: E402
from residual_attention_net.checkpoint import CheckpointFolder, Position, pack  # noqa: E402
from residual_attention_net.data.image_files import dataset_samples  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402
from residual_attention_net.trained_network import open_trained  # noqa: E402
from residual_attention_net.visualize import (  # noqa: E402
    attention_masks,
    attention_view,
    main,
    read_run,
    training_curves,
)

pytestmark = pytest.mark.pytorch
SMALL = "small_16input"
CLASSES = tuple(f"class {number}" for number in range(10))


def small_network(**arguments):
    torch.manual_seed(0)
    return build_network(SMALL, **arguments)


def view_of(tmp_path, count=2, strongest=0, **arguments):
    path = tmp_path / "weights.pth"
    torch.save(small_network(**arguments).state_dict(), str(path))
    trained = open_trained(str(path), SMALL, device_type="cpu")
    volumes = trained.network.spatial_dims == 3
    samples, _ = dataset_samples("synthetic_volumes" if volumes else "synthetic", None, count, 16)
    return samples, attention_view(trained, samples, CLASSES, "a title", strongest)


def write_run(folder, steps=30, with_weights=True):
    """A run folder as training leaves it."""
    with RunLog(folder / "rank_0") as log:
        log.event(
            "start",
            model="residual_attention_net",
            config={"dataset": "synthetic"},
            command="train.py --dataset synthetic",
            resumed_step=0,
            network={"name": SMALL},
            dataset={"name": "synthetic"},
        )
        for step in range(1, steps + 1):
            log.event("step", step=step, epoch=1, loss=2.0 / step, learning_rate=0.1)
        log.event(
            "evaluation",
            split="validation",
            role="progress",
            epoch=1,
            step=steps,
            n=20,
            metrics={"accuracy": 60.0, "loss": 1.0},
        )
        log.event(
            "evaluation",
            split="test",
            role="final",
            epoch=1,
            step=steps,
            n=40,
            metrics={"accuracy": 55.5, "loss": 1.0},
        )
    if with_weights:
        checkpoints = CheckpointFolder(folder / "ckpt")
        checkpoints.prepare()
        checkpoints.save(pack(small_network(), Position(steps, 1, 0)))
    return folder


def run(*flags):
    return exit_code_of(main, [str(flag) for flag in flags])


def assert_no_text_overlaps(figure):
    """Compares the places of all texts that are drawn, and of the pictures beside them."""
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    texts = [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text not in _beyond_the_axes(figure)
    ]
    boxes = {text: text.get_window_extent(renderer) for text in texts}
    for one, other in itertools.combinations(texts, 2):
        overlap = _overlap(boxes[one], boxes[other])
        assert not overlap, f"{one.get_text()!r} covers {other.get_text()!r}"
    for axes in figure.axes:
        if axes.images:
            inside = axes.images[0].get_window_extent(renderer)
            covering = [text.get_text() for text in texts if _overlap(boxes[text], inside)]
            assert covering == []


def _beyond_the_axes(figure):
    """The labels of ticks outside the range that is shown: matplotlib doesn't draw them."""
    return [
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not label.get_visible()
        or not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    ]


def _overlap(one, other):
    slack = 1
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > slack
        and min(one.y1, other.y1) - max(one.y0, other.y0) > slack
    )


# --- masks


def test_every_module_has_a_mask_of_its_own_size_and_one_of_the_images():
    network = small_network()
    found = attention_masks(network, torch.rand(2, 3, 16, 16))
    assert [module.name for module in found] == [name for name, _ in network.attention_modules()]
    assert [module.mean.shape for module in found] == [(2, 16, 16), (2, 8, 8), (2, 4, 4)]
    assert all(module.enlarged.shape == (2, 16, 16) for module in found)


def test_the_mean_is_over_the_channels_of_the_networks_mask():
    network, inputs = small_network(), torch.rand(2, 3, 16, 16)
    masks = network.masks(inputs)
    for module in attention_masks(network, inputs):
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
    inputs = torch.from_numpy(samples.images).permute(0, 4, 1, 2, 3).float() / 255
    masks = small_network(spatial_dims=3).masks(inputs)
    for module in view.modules:
        middle = masks[module.name][:, :, module.size // 2]
        np.testing.assert_allclose(module.mean, middle.mean(1).numpy(), atol=1e-5)
        assert module.enlarged.shape == (2, 16, 16)
        assert module.strongest.shape == (2, 1, module.size, module.size)


def test_the_view_tells_true_class_and_prediction(tmp_path):
    samples, view = view_of(tmp_path)
    assert view.captions[0] == "synthetic test 0\ntrue class: " + CLASSES[samples.truths[0]]
    assert view.answers[0].startswith("prediction:\nclass ")


# --- the picture of the masks


@pytest.mark.parametrize("strongest", [0, 2])
def test_no_text_covers_another_or_a_picture(tmp_path, strongest):
    _, view = view_of(tmp_path, count=3, strongest=strongest)
    assert_no_text_overlaps(pictures.attention_figure(view))


def test_the_picture_names_modules_sizes_and_ranges(tmp_path):
    _, view = view_of(tmp_path)
    titles = [axes.get_title() for axes in pictures.attention_figure(view).axes]
    for module in view.modules:
        title = next(title for title in titles if title.startswith(module.name + "\n"))
        low, high = pictures.told_apart([module.mean.min(), module.mean.max()])
        assert f"{module.size} x {module.size}" in title
        assert title.endswith(f"{low} to {high}")


def test_a_mask_that_is_the_same_everywhere_has_a_scale(tmp_path):
    _, view = view_of(tmp_path)
    flat = pictures.ModuleMasks(
        "flat",
        4,
        8,
        np.full((2, 4, 4), 0.5),
        np.full((2, 16, 16), 0.5),
        np.zeros((2, 0, 4, 4)),
        np.zeros((2, 0), np.int64),
    )
    view = pictures.AttentionView("flat", view.images, view.captions, view.answers, (flat,))
    assert pictures.as_png(pictures.attention_figure(view)).startswith(b"\x89PNG")


def test_where_the_mask_is_high_the_colour_is_that_of_the_scales_end():
    white = np.full((1, 2, 3), 255, np.uint8)
    low, high = pictures.overlaid(white, np.array([[0.2, 0.8]]), 0.2, 0.8)[0]
    assert low[2] > low[0]
    assert high[0] > high[2]


def test_the_image_is_seen_under_the_mask():
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    dark, bright = pictures.overlaid(image, np.full((1, 2), 0.5), 0.0, 1.0)[0]
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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["a$b$c^{.png", "猫.png", "a\x07b.png", "x" * 200 + ".png"])
def test_any_file_name_can_be_drawn(tmp_path, name):
    path = tmp_path / name if len(name) < 200 else tmp_path / name[-100:]
    Image.new("RGB", (16, 16)).save(str(path))
    torch.save(small_network().state_dict(), str(tmp_path / "w.pth"))
    assert (
        run(
            "--pth_path",
            tmp_path / "w.pth",
            "--network",
            SMALL,
            "--images",
            path,
            "--output_path",
            tmp_path,
        )
        == 0
    )


# --- curves


def test_curves_have_a_panel_each_for_loss_accuracy_and_learning_rate(tmp_path):
    figure = training_curves(read_run(write_run(tmp_path, with_weights=False)).events)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "training loss",
        "accuracy (%)",
        "learning rate",
    ]
    raw = figure.axes[0].lines[0]
    np.testing.assert_allclose(raw.get_ydata(), [2.0 / step for step in range(1, 31)])
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == ["validation: best 60.00 %", "test, final weights: 55.50 %"]
    assert_no_text_overlaps(figure)


def test_curves_without_evaluations_leave_that_panel_out():
    events = [{"event": "step", "step": 1, "epoch": 1, "loss": 2.0, "learning_rate": 0.1}]
    assert len(training_curves(events).axes) == 2


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
    labels = [line.get_label() for line in training_curves(events).axes[0].lines]
    assert "not finite, first at step 7" in labels


def test_no_steps_are_an_error():
    with pytest.raises(ZooError, match="no training step"):
        training_curves([{"event": "start"}])


@pytest.mark.parametrize("window", [1, 2, 5])
def test_smoothing_is_the_centred_mean(window):
    values = np.random.RandomState(0).rand(12)
    expected = [
        values[max(0, place - window // 2) : place + (window + 1) // 2].mean()
        for place in range(12)
    ]
    np.testing.assert_allclose(pictures.smoothed(values, window), expected)


# --- the program


def test_a_run_gives_its_curves_and_the_masks_of_its_checkpoint(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert run("--run", folder, "--count", "2", "--device_type", "cpu") == 0
    found = sorted(path.name for path in (folder / "pictures").iterdir())
    assert found == ["attention_masks.png", "curves.png"]
    told = capsys.readouterr().out
    for name in found:
        assert "wrote {}".format(folder / "pictures" / name) in told
        with Image.open(str(folder / "pictures" / name)) as picture:
            assert min(picture.size) > 300


def test_a_run_without_a_checkpoint_gives_its_curves_only(tmp_path, capsys):
    folder = write_run(tmp_path / "run", with_weights=False)
    assert run("--run_folder", folder, "--output_path", tmp_path / "other") == 0
    assert [path.name for path in (tmp_path / "other" / "pictures").iterdir()] == ["curves.png"]
    assert "no checkpoint" in capsys.readouterr().err


def test_the_checkpoint_best_on_validation_is_drawn(tmp_path):
    folder = write_run(tmp_path / "run")
    assert read_run(folder).weights.name == "step_000000030.pt"
    CheckpointFolder(folder / "ckpt").save_best(pack(small_network(), Position(10, 1, 0)))
    assert read_run(folder).weights.name == "best.pt"


def test_the_runs_data_are_found_by_its_command_line(tmp_path):
    with RunLog(tmp_path / "rank_0") as log:
        log.event(
            "start",
            config={"dataset": "cifar10"},
            command="train.py --seed 1 '--data_path=/with space' --unknown",
        )
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
    assert run(*flags) == code
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_without_matplotlib_what_to_install_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run("--run", write_run(tmp_path, with_weights=False)) == 1
    assert "pip install matplotlib" in capsys.readouterr().err


def test_an_unreadable_image_is_told_and_the_others_are_drawn(tmp_path, capsys):
    torch.save(small_network().state_dict(), str(tmp_path / "w.pth"))
    Image.new("RGB", (16, 16)).save(str(tmp_path / "a.png"))
    code = run(
        "--pth_path",
        tmp_path / "w.pth",
        "--network",
        SMALL,
        "--output_path",
        tmp_path,
        "--images",
        tmp_path / "a.png",
        tmp_path / "missing.png",
    )
    assert code == 1
    assert "missing.png" in capsys.readouterr().err
    assert (tmp_path / "pictures" / "attention_masks.png").exists()


def test_when_no_image_can_be_read_no_picture_is_left(tmp_path):
    torch.save(small_network().state_dict(), str(tmp_path / "w.pth"))
    assert (
        run(
            "--pth_path",
            tmp_path / "w.pth",
            "--network",
            SMALL,
            "--output_path",
            tmp_path,
            "--images",
            tmp_path / "missing.png",
        )
        == 1
    )
    assert not (tmp_path / "pictures").exists()
