"""The weights that stay in the tree, and the figures on record of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest

from common.core.files import sha256_of
from slot_attention.metrics.average_precision import THRESHOLDS, average_precision
from slot_attention.synthetic.scenes import SceneSettings, draw_scene

ROOT = Path(__file__).resolve().parents[3]
SCENES = ROOT / "weights" / "slot_attention_set_prediction.npz"
SPRITES = ROOT / "weights" / "slot_attention_object_discovery.npz"


def recorded(weights: Path) -> Dict[str, Any]:
    """The figures on record of the kept weights, those that were best on validation."""
    told = json.loads((ROOT / "weights" / "index.json").read_text())[weights.name]
    assert sha256_of(weights) == told["sha256"]
    path = ROOT / "results" / "slot_attention" / f"{told['run_id']}.json"
    return json.loads(path.read_text())["metrics"]


def require_recorded_precision(load: Callable[..., Any]) -> None:
    """The kept weights of set prediction give it, on the record's test scenes, drawn again."""
    metrics = recorded(SCENES)
    settings = SceneSettings(image_size=(64, 64), objects=(2, 4))
    scenes = [draw_scene(0, "test", n, settings) for n in range(metrics["n_eval"])]
    found = load(batch=64)(np.stack([scene.image for scene in scenes]))["predictions"]
    values = average_precision(found, np.stack([scene.target for scene in scenes])[:, :4])
    best = metrics["best_on_validation"]
    for threshold, value in zip(THRESHOLDS[:2], values):
        # It was evaluated in bfloat16, and passes in float32 here.
        assert value == pytest.approx(best[f"ap_{threshold:g}"], abs=5e-3)
