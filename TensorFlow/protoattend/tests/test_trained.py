"""A trained network in memory, its exports; the weights that stay in the tree and their figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.core.files import sha256_of
from protoattend.evaluate import main as evaluate
from protoattend.export import main as export

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = ROOT / "weights" / "protoattend.npz"
ROUNDING = 3e-4  # of the accuracy: three of 10,000 decisions are close enough to turn
pytestmark = [pytest.mark.tensorflow, pytest.mark.long]


@pytest.fixture(scope="module")
def network():
    from protoattend import load

    return load(batch=4)


def test_decisions_name_class_confidence_and_prototypes(network):
    images = network.candidates.images[:6]
    decisions = network(images)
    names = [network.classes[label] for label in network.candidates.labels[:6]]
    assert [decision.predicted for decision in decisions] == names
    for decision in decisions:
        assert 0.5 < decision.confidence <= 1.001
        assert decision.prototypes[0].label == decision.predicted
        assert decision.prototypes[0].source.startswith("train row")


def test_the_first_test_image_is_decided_by_the_prototypes_that_the_pictures_show(
    network, zoo_data
):
    from protoattend.data.datasets import open_dataset

    dataset = open_dataset("fashion_mnist", str(zoo_data("fashion-mnist")))
    decision = network(dataset.test.images[:1])[0]
    assert decision.predicted == "Ankle boot"
    assert decision.prototypes[0].source == "train row 14825"


def test_the_kept_candidates_are_those_of_the_recorded_evaluation(zoo_data):
    from common.training.stored_weights import find_weights
    from protoattend.kept import candidates_of_run, kept_candidates

    drawn = candidates_of_run(find_weights(str(WEIGHTS)), str(zoo_data("fashion-mnist")))
    assert kept_candidates().sha256() == drawn.sha256()


def test_exports_are_written_and_held_to_the_network(tmp_path):
    assert export([f"--checkpoint={WEIGHTS}", f"--output_path={tmp_path}", "--batch_size=2"]) == 0
    told = json.loads((tmp_path / "export.json").read_text("utf-8"))
    assert told["inputs"]["images"] == ["uint8", [2, 28, 28, 1]] and len(told["classes"]) == 10
    assert (tmp_path / "network.onnx").stat().st_size < 2**22


@pytest.fixture(scope="module")
def told():
    """What the index says of the kept weights."""
    found = json.loads((ROOT / "weights" / "index.json").read_text())["protoattend.npz"]
    assert sha256_of(WEIGHTS) == found["sha256"] and WEIGHTS.stat().st_size < 2**21
    return found


def record(run_id):
    return json.loads((ROOT / "results" / "protoattend" / (run_id + ".json")).read_text())


def test_the_weights_give_the_recorded_figures(told, zoo_data, tmp_path):
    assert record(told["run_id"])["case"] == told["case"]
    words = [
        "--device=cpu",
        "--precision_mode=must_keep_origin_dtype",
        f"--checkpoint={WEIGHTS}",
        f"--data_path={zoo_data('fashion-mnist')}",
        f"--output_path={tmp_path}",
        "--out_of_distribution=noise",
        "--gallery_count=2",
    ]
    assert evaluate(words) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    recorded = record(told["evaluation"])["metrics"]["final"]
    assert found["summary"]["accuracy"] == pytest.approx(recorded["accuracy"], abs=ROUNDING)
    assert found["summary"]["prototypes"]["90"] == recorded["prototypes_90"]
    noise = found["by_score"]["key_distance"]["noise"]["auroc"]
    assert noise == pytest.approx(recorded["auroc_key_distance_noise"], abs=1e-3)
