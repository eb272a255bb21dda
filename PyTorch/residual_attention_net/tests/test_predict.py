"""Predictions: the network's probabilities, on files of every kind and on datasets."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from training_helpers import saved, small_network, weights_in

from common.core.command_line import exit_code_of
from common.core.errors import ZooError
from residual_attention_net import load
from residual_attention_net.data.samples import CIFAR10_CLASSES
from residual_attention_net.predict import main
from residual_attention_net.trained_network import predict

pytestmark = pytest.mark.pytorch
NETWORK = "small_16input"
CLASSES = tuple(f"class {number}" for number in range(10))


def random_images(count, size=16):
    return np.random.RandomState(0).randint(0, 256, (count, size, size, 3)).astype(np.uint8)


@pytest.fixture
def checkpoint(tmp_path):
    return saved(tmp_path, small_network(), classes=list(CLASSES))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(random_images(1)[0]).save(str(path))
    return path


def run(weights, *flags):
    words = ["--device_type", "cpu", *flags]
    words += [] if "--pth_path" in flags else ["--pth_path", weights]
    return exit_code_of(main, [str(word) for word in words])


def run_json(capsys, *arguments):
    code = run(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


# --- in Python


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_probabilities_are_the_softmax_of_the_networks_logits_whose_mode_stays(batch_size):
    network, images = small_network().eval(), random_images(5)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = torch.softmax(network(inputs), 1).numpy()
    network.train()
    found = predict(network, images, batch_size)
    assert found.dtype == np.float32 and network.training
    np.testing.assert_allclose(found, expected, atol=1e-6)


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


def test_a_checkpoint_knows_its_network_and_its_classes(checkpoint):
    trained = load(str(checkpoint))
    images = random_images(3, size=trained.input_size)
    assert (trained.network.spec.name, trained.classes) == (NETWORK, CLASSES)
    np.testing.assert_array_equal(trained(images), predict(trained.network, images))


# --- weights and classes


@pytest.mark.parametrize(
    "flags, names",
    [
        (["--network", NETWORK], tuple(map(str, range(10)))),
        (["--network", NETWORK, "--dataset", "cifar10"], CIFAR10_CLASSES),
        (["--network", NETWORK, "--dataset", "image_folder"], tuple(map(str, range(10)))),
        (["--dataset", "cifar10"], CLASSES),  # those in the checkpoint win
    ],
)
def test_classes_are_named_by_weights_or_dataset_or_numbers(
    tmp_path, checkpoint, picture, capsys, flags, names
):
    weights = weights_in(tmp_path) if "--network" in flags else checkpoint
    _, found = run_json(capsys, weights, *flags, "--images", picture)
    best = found["predictions"][0]
    assert best["class"] == names[best["index"]] and "truth" not in best


# --- image files


def test_what_is_left_out_is_counted_and_names_that_are_no_utf8_survive(
    checkpoint, picture, tmp_path, capsys
):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "x.png").write_bytes(picture.read_bytes())
    (tmp_path / "more" / "y.gif").write_bytes(b"GIF89a")
    assert run(checkpoint, "--images", tmp_path / "more") == 0
    assert "left out" in capsys.readouterr().err
    odd = picture.with_name(os.fsdecode(b"\xff.png"))
    odd.write_bytes(picture.read_bytes())
    code, found = run_json(capsys, checkpoint, "--images", odd)
    assert code == 0 and found["predictions"][0]["file"].encode("utf-8")


def test_an_unreadable_file_is_named_after_the_others_are_done(checkpoint, picture, capsys):
    damaged, missing = picture.with_name("damaged.png"), picture.with_name("missing.png")
    damaged.write_bytes(picture.read_bytes()[:100])
    files = ["--images", damaged, missing, picture]
    code = run(checkpoint, *files, "--batch_size", "1")
    captured = capsys.readouterr()
    assert code == 1
    told = [line.split(":")[:2] for line in captured.err.splitlines()]
    assert told == [["error", f" {damaged}"], ["error", f" {missing}"]]
    assert captured.out.splitlines()[1].startswith(str(picture))
    code, found = run_json(capsys, checkpoint, *files)
    assert code == 1 and len(found["predictions"]) == 1
    assert [line.split(":")[0] for line in found["unreadable"]] == [str(damaged), str(missing)]


# --- datasets


# --- the program


@pytest.mark.parametrize(
    "flags, code, told",
    [
        ([], 64, "no images"),
        (["--dataset", "cifar10"], 1, "--data_path is missing"),
        (["--images", "{folder}/empty"], 1, "no PNG, JPEG, BMP or WebP"),
        (["--images", "x", "--pth_path", "{folder}/none.pt"], 1, "is no file"),
        (["--images", "x", "--pth_path", "{folder}/volumes/weights.pt"], 64, "volumes"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, flags, code, told):
    (tmp_path / "empty").mkdir()
    saved(tmp_path / "volumes", small_network(spatial_dims=3))
    weights = saved(tmp_path, small_network())
    words = [flag.format(folder=tmp_path) for flag in flags]
    assert run(weights, *words) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
