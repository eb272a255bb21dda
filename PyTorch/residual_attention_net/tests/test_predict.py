"""Predictions: the network's probabilities, on files of every kind and on datasets."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from training_helpers import environment, saved  # noqa: E402

from common.core.command_line import exit_code_of  # noqa: E402
from common.core.errors import UsageError, ZooError  # noqa: E402
from residual_attention_net.data.samples import CIFAR10_CLASSES, dataset_samples  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402
from residual_attention_net.predict import main, predict  # noqa: E402
from residual_attention_net.trained_network import open_trained  # noqa: E402

pytestmark = pytest.mark.pytorch
SMALL = "small_16input"
NAMES = tuple(f"class {number}" for number in range(10))


def small_network(**arguments):
    torch.manual_seed(0)
    return build_network(SMALL, **arguments)


def random_images(count, size=16):
    return np.random.RandomState(0).randint(0, 256, (count, size, size, 3)).astype(np.uint8)


@pytest.fixture
def state_dict(tmp_path):
    path = tmp_path / "published.pth"
    torch.save(small_network().state_dict(), str(path))
    return path


@pytest.fixture
def checkpoint(tmp_path):
    return saved(tmp_path, small_network(), classes=list(NAMES))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(random_images(1)[0]).save(str(path))
    return path


def run(weights, *flags):
    return exit_code_of(
        main, ["--pth_path", str(weights), "--device_type", "cpu"] + [str(flag) for flag in flags]
    )


def run_json(capsys, *arguments):
    code = run(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


# --- the library function


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_probabilities_are_the_softmax_of_the_networks_logits(batch_size):
    network, images = small_network().eval(), random_images(5)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = torch.softmax(network(inputs), 1).numpy()
    found = predict(network, images, batch_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_in_python_a_checkpoint_is_loaded_with_its_classes(checkpoint):
    from residual_attention_net import load

    trained = load(str(checkpoint))
    images = random_images(3, size=trained.input_size)
    assert trained.classes == tuple(NAMES) and trained(images).shape == (3, len(NAMES))


def test_predicting_leaves_the_network_in_training_mode():
    network = small_network().train()
    before = network.mpool2[0].running_mean.clone()
    predict(network, random_images(3))
    assert network.training
    assert torch.equal(network.mpool2[0].running_mean, before)


def test_volumes_and_no_images_are_predicted_and_what_can_not_be_is_told():
    assert predict(small_network(), random_images(0)).shape == (0, 10)
    volumes = np.zeros((2, 16, 16, 16, 3), np.uint8)
    assert predict(small_network(spatial_dims=3), volumes).shape == (2, 10)
    with pytest.raises(ZooError, match="resize them"):
        predict(small_network(), random_images(1, size=20))
    network = small_network()
    network.fc.bias.data[0] = float("nan")
    with pytest.raises(ZooError, match="not finite"):
        predict(network, random_images(1))


# --- weights


def test_a_checkpoint_knows_its_network_and_its_classes(checkpoint):
    trained = open_trained(str(checkpoint), device_type="cpu")
    assert (trained.network.spec.name, trained.classes) == (SMALL, NAMES)


def test_the_number_of_classes_is_read_from_a_state_dict(tmp_path):
    path = tmp_path / "seven.pth"
    torch.save(
        small_network(num_classes=7, spatial_dims=3, input_channels=1).state_dict(), str(path)
    )
    network = open_trained(str(path), SMALL, device_type="cpu").network
    assert (network.num_classes, network.spatial_dims, network.input_channels) == (7, 3, 1)


def test_a_state_dict_is_taken_for_the_default_network(state_dict, picture, capsys):
    assert run(state_dict, "--images", picture) == 1
    assert "doesn't fit network 92_32input_update" in capsys.readouterr().err


def test_missing_weights_are_one_line(tmp_path, picture, capsys):
    assert run(tmp_path / "none.pt", "--images", picture) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_classes_without_names_are_numbers(state_dict, picture, capsys):
    _, found = run_json(capsys, state_dict, "--network", SMALL, "--images", picture)
    best = found["predictions"][0]
    assert best["class"] == str(best["index"])


def test_a_dataset_beside_images_gives_its_class_names(state_dict, picture, capsys):
    _, found = run_json(
        capsys, state_dict, "--network", SMALL, "--images", picture, "--dataset", "cifar10"
    )
    best = found["predictions"][0]
    assert best["class"] == CIFAR10_CLASSES[best["index"]]
    assert "truth" not in best


def test_names_in_the_checkpoint_win_over_the_datasets(checkpoint, picture, capsys):
    _, found = run_json(capsys, checkpoint, "--images", picture, "--dataset", "cifar10")
    assert found["predictions"][0]["class"] in NAMES


# --- image files


def test_pictures_are_decided_on_as_a_viewer_shows_them(checkpoint, tmp_path, capsys):
    """A phone's picture (EXIF orientation 6), an icon without ground, and other kinds of file."""
    upright = random_images(1)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    kinds = {"a.png": {}, "b.png": {"exif": exif}, "c.bmp": {}, "d.webp": {"lossless": True}}
    for name, options in kinds.items():
        picture = turned if options.get("exif") else Image.fromarray(upright)
        picture.save(str(tmp_path / name), **options)
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(str(tmp_path / "e.png"))
    Image.new("RGB", (16, 16), "white").save(str(tmp_path / "f.png"))
    (tmp_path / "g.gif").write_bytes(b"GIF89a")
    code, found = run_json(capsys, checkpoint, "--images", tmp_path)
    told = [entry["probability"] for entry in found["predictions"]]
    assert code == 0 and len(told) == 6
    assert told[:4] == pytest.approx([told[0]] * 4) and told[4] == pytest.approx(told[5])


def test_what_is_left_out_is_counted_and_names_that_are_no_utf8_survive(
    checkpoint, picture, tmp_path, capsys
):
    odd = tmp_path / "folder" / os.fsdecode(b"\xca\xbd\xff.png")
    odd.parent.mkdir()
    picture.rename(odd)
    (odd.parent / "notes.txt").touch()
    assert run(checkpoint, "--images", odd.parent) == 0
    captured = capsys.readouterr()
    assert "1 .txt" in captured.err and len(captured.out.splitlines()) == 2
    code, found = run_json(capsys, checkpoint, "--images", odd)
    assert code == 0 and found["predictions"][0]["file"].encode("utf-8")


def test_an_unreadable_file_is_named_after_the_others_are_done(checkpoint, picture, capsys):
    damaged, missing = picture.with_name("damaged.png"), picture.with_name("missing.png")
    damaged.write_bytes(picture.read_bytes()[:100])
    code = run(checkpoint, "--images", damaged, missing, picture, "--batch_size", "1")
    captured = capsys.readouterr()
    assert code == 1
    assert [line.split(":")[:2] for line in captured.err.splitlines()] == [
        ["error", " " + str(damaged)],
        ["error", " " + str(missing)],
    ]
    assert captured.out.splitlines()[1].startswith(str(picture))


def test_a_folder_without_images_is_an_error(checkpoint, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(checkpoint, "--images", tmp_path / "empty") == 1
    assert "no PNG, JPEG, BMP or WebP" in capsys.readouterr().err


def test_image_files_for_a_network_of_volumes_are_refused(tmp_path, picture, capsys):
    path = tmp_path / "volumes.pth"
    torch.save(small_network(spatial_dims=3).state_dict(), str(path))
    assert run(path, "--network", SMALL, "--images", picture) == 64
    assert "volumes" in capsys.readouterr().err


# --- datasets


def test_samples_are_spread_over_the_test_set_with_their_true_class(checkpoint, capsys):
    code, found = run_json(capsys, checkpoint, "--dataset", "synthetic", "--count", "4")
    assert code == 0
    assert [entry["file"] for entry in found["predictions"]] == [
        f"synthetic test {number}" for number in (0, 25, 50, 75)
    ]
    assert all(entry["truth"] in NAMES for entry in found["predictions"])


def test_more_samples_than_the_dataset_has_are_refused():
    with pytest.raises(UsageError, match="has 100 images"):
        dataset_samples("synthetic", None, 101, 16)


# --- the program


@pytest.mark.parametrize("asked, found", [(4, 4), (99, 10)])
def test_top_says_how_many_classes_are_told_the_best_first(
    checkpoint, picture, capsys, asked, found
):
    _, told = run_json(capsys, checkpoint, "--images", picture, "--top", asked)
    best = told["predictions"][0]
    top = [entry["probability"] for entry in best["top"]]
    assert len(top) == found and top == sorted(top, reverse=True)
    assert best["probability"] == top[0]
    assert found < 10 or sum(top) == pytest.approx(1, abs=1e-4)


def test_json_names_the_unreadable_files_too(checkpoint, picture, capsys):
    code, found = run_json(capsys, checkpoint, "--images", picture, "nowhere.png")
    assert code == 1
    assert len(found["predictions"]) == 1
    assert found["unreadable"][0].startswith("nowhere.png")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--images", "x", "--top", "0"],
        ["--dataset", "imagenet"],
        ["--images", "x", "--unknown"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(checkpoint, capsys, flags):
    assert run(checkpoint, *flags) == 64
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_dataset_of_files_without_its_folder_is_told(checkpoint, capsys):
    assert run(checkpoint, "--dataset", "cifar10") == 1
    assert "--data_path is missing" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["predict", "visualize", "export"])
def test_help_comes_without_loading_torch_or_matplotlib(program):
    code = "\n".join(
        [
            "import sys, residual_attention_net.{} as program",
            "try: program.main(['--help'])",
            "except SystemExit as end: assert end.code == 0",
            "assert not {{'torch', 'matplotlib'}} & set(sys.modules)",
        ]
    ).format(program)
    subprocess.run(
        [sys.executable, "-c", code], env=environment(), check=True, stdout=subprocess.DEVNULL
    )
