"""The weights that stay in the tree are the recorded ones, and give the recorded figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.core.files import sha256_of
from protoattend.evaluate import main as evaluate

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = ROOT / "weights" / "protoattend.npz"
ROUNDING = 3e-4  # of the accuracy: three of 10,000 decisions are close enough to turn


def _told():
    return json.loads((ROOT / "weights" / "index.json").read_text())["protoattend.npz"]


def _record(run_id):
    return json.loads((ROOT / "results" / "protoattend" / (run_id + ".json")).read_text())


def test_the_weights_are_those_of_the_record():
    told = _told()
    assert sha256_of(WEIGHTS) == told["sha256"]
    assert _record(told["run_id"])["case"] == told["case"]
    assert WEIGHTS.stat().st_size < 2**21


@pytest.mark.tensorflow
@pytest.mark.long
def test_the_weights_give_the_recorded_figures(zoo_data, tmp_path):
    told = _told()
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
    recorded = _record(told["evaluation"])["metrics"]["final"]
    assert found["summary"]["accuracy"] == pytest.approx(recorded["accuracy"], abs=ROUNDING)
    assert found["summary"]["prototypes"]["90"] == recorded["prototypes_90"]
    noise = found["by_score"]["key_distance"]["noise"]["auroc"]
    assert noise == pytest.approx(recorded["auroc_key_distance_noise"], abs=1e-3)
