"""A trained network in memory and its exports; the weights that stay in the tree."""

from __future__ import annotations

import json

import numpy as np
import pytest
from slot_kept_weights import SCENES, SPRITES, recorded, require_recorded_precision

from common.core.errors import ZooError
from slot_attention import load
from slot_attention.export import main as export
from slot_attention.object_discovery.eval import main as evaluate

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]


@pytest.fixture(scope="module")
def network():
    return load(batch=2)


def test_the_kept_weights_of_set_prediction_give_the_recorded_figures():
    require_recorded_precision(load)


def test_the_kept_weights_of_object_discovery_give_the_recorded_figure(tmp_path):
    """On the test scenes of the record, which the evaluation draws again."""
    words = [f"--checkpoint_dir={SPRITES}", f"--model_dir={tmp_path}", "--device=cpu"]
    assert evaluate([*words, "--dataset=synthetic_sprites"]) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())["metrics"]["fg_ari"]
    assert found == pytest.approx(recorded(SPRITES)["best_on_validation"]["fg_ari"], abs=2e-3)


def test_images_pass_in_batches_whatever_their_number(network):
    images = np.random.RandomState(0).randint(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    found = network(images)["predictions"]
    assert found.shape == (3, 4, 19)
    assert np.abs(network(images[2:])["predictions"] - found[2:]).max() < 1e-5


def test_images_of_another_size_are_refused(network):
    with pytest.raises(ZooError, match=r"\(N, 64, 64, 3\)"):
        network(np.zeros((1, 32, 32, 3), np.uint8))


def test_exports_are_written_and_held_to_the_network(tmp_path, capsys):
    words = [f"--checkpoint={SCENES}", f"--output_path={tmp_path}", "--batch_size=2"]
    assert export(words) == 0
    assert "network.onnx" in capsys.readouterr().out
    told = json.loads((tmp_path / "export.json").read_text("utf-8"))
    assert told["outputs"]["predictions"] == ["float32", [2, 4, 19]]
