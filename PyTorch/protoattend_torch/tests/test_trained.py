"""A trained network in memory, its exports; the kept weights of TensorFlow and their figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.core.errors import ZooError
from protoattend_torch.evaluate import main as evaluate
from protoattend_torch.export import main as export

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = ROOT / "weights" / "protoattend.npz"
ROUNDING = 3e-4  # of the accuracy: three of 10,000 decisions are close enough to turn
pytestmark = [pytest.mark.pytorch, pytest.mark.long]


def test_decisions_name_class_confidence_and_prototypes():
    from protoattend_torch import load

    network = load(batch=4)
    images = network.candidates.images[:6]
    decisions = network(images)
    names = [network.classes[label] for label in network.candidates.labels[:6]]
    assert [decision.predicted for decision in decisions] == names
    for decision in decisions:
        assert 0.5 < decision.confidence <= 1.001
        assert decision.prototypes[0].label == decision.predicted
        assert decision.prototypes[0].source.startswith("train row")
    with pytest.raises(ZooError, match=r"\(N, 28, 28, 1\)"):
        network(np.zeros((1, 32, 32, 1), np.uint8))


def test_exports_are_written_and_held_to_the_network(tmp_path):
    pytest.importorskip("onnxruntime")
    assert export([f"--checkpoint={WEIGHTS}", f"--output_path={tmp_path}", "--batch_size=2"]) == 0
    told = json.loads((tmp_path / "export.json").read_text("utf-8"))
    assert told["inputs"]["images"] == ["uint8", [2, 28, 28, 1]] and len(told["classes"]) == 10
    assert {"network.onnx", "network.pt"} <= {path.name for path in tmp_path.iterdir()}


def test_the_kept_weights_give_the_recorded_figures(zoo_data, tmp_path):
    index = json.loads((ROOT / "weights" / "index.json").read_text())["protoattend.npz"]
    path = ROOT / "results" / "protoattend" / (index["evaluation"] + ".json")
    recorded = json.loads(path.read_text())["metrics"]["final"]
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
    found = json.loads((tmp_path / "record.json").read_text())["metrics"]["final"]
    assert found["accuracy"] == pytest.approx(recorded["accuracy"], abs=ROUNDING)
    for name in ("prototypes_50", "prototypes_90", "prototypes_95"):
        assert found[name] == recorded[name]
    for name in ("confidence_mean", "ece", "auroc_key_distance_noise"):
        assert found[name] == pytest.approx(recorded[name], abs=1e-4), name


def test_nothing_here_imports_tensorflow():
    """What of the TensorFlow network is used knows no framework."""
    modules = "evaluation explain export train trained training"
    code = f"""
import importlib, sys
sys.modules["tensorflow"] = None
for name in "{modules}".split():
    importlib.import_module("protoattend_torch." + name)
for name in "kept reports runs splits data.batches gallery.prototypes metrics.report".split():
    importlib.import_module("protoattend." + name)
"""
    folders = ":".join(str(ROOT / part) for part in ("", "PyTorch"))
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": folders})
