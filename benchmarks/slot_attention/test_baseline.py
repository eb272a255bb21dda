"""The baseline computes what the reference computes, so a ratio to it means something."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Dict, NamedTuple

import numpy as np
import pytest

from tests.fixtures.packed_arrays import load, load_either

pytest.importorskip("tensorflow")

pytestmark = pytest.mark.tensorflow

CHECKOUT = Path(__file__).resolve().parents[2]
FIXTURES = CHECKOUT / "tests" / "fixtures" / "slot_attention"
NAMES = {"object_discovery": "autoencoder", "set_prediction": "classifier"}
# Three times the distances observed between correct implementations.
SLOTS, MASKS, RECONSTRUCTION, PREDICTIONS = 1.5e-5, 4.8e-6, 3e-6, 1.2e-6
GRADIENT_NORM, GRADIENT_DOT = 2.4e-4, 6e-4
# Its true gradient is zero (softmax over slots ignores a shift): what is computed is noise.
WITHOUT_GRADIENT = "slot_attention/norm_slots/beta"
EVERY_FOURTH = slice(None, None, 4)


class Case(NamedTuple):
    """What the baseline found, and what the reference gave in float32 and in float64."""

    found: Dict[str, np.ndarray]
    stored: Dict[str, np.ndarray]
    exact: Dict[str, np.ndarray]


def group(stored: Dict[str, np.ndarray], prefix: str) -> Dict[str, np.ndarray]:
    return {
        key[len(prefix) + 1 :]: value
        for key, value in stored.items()
        if key.startswith(prefix + ":") and not key.endswith(WITHOUT_GRADIENT)
    }


@pytest.fixture(
    scope="module",
    params=[pytest.param("object_discovery", marks=pytest.mark.slow), "set_prediction"],
)
def case(request, tmp_path_factory):
    stem = "slot_attention_" + NAMES[request.param]
    stored = load_either(FIXTURES / (stem + "_public"))
    folder = tmp_path_factory.mktemp("baseline")
    fixture, output = folder / "fixture.npz", folder / "found.npz"
    np.savez(str(fixture), **stored)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.slot_attention.fixture_run",
            "--task",
            request.param,
            "--fixture",
            str(fixture),
            "--output",
            str(output),
        ],
        cwd=str(CHECKOUT),
        env=dict(os.environ, PYTHONPATH=str(CHECKOUT)),
        check=True,
    )
    return Case(load(output), stored, load(FIXTURES / (stem + "_f64ref_public.npz")))


def test_every_weight_of_the_baseline_is_one_of_the_references(case):
    assert int(case.found["count"]) == sum(key.startswith("w:") for key in case.stored)


def test_outputs_are_the_references(case):
    if "predictions" in case.found:
        assert np.abs(case.found["predictions"] - case.exact["predictions"]).max() < PREDICTIONS
        return
    assert np.abs(case.found["slots"] - case.exact["slots"]).max() < SLOTS
    sampled = [
        case.found[name][..., EVERY_FOURTH, EVERY_FOURTH, :] for name in ("masks", "combined")
    ]
    assert np.abs(sampled[0] - case.stored["masks"]).max() < MASKS
    assert np.abs(sampled[1] - case.stored["recon_combined"]).max() < RECONSTRUCTION


def test_the_loss_is_the_references(case):
    assert float(case.found["loss"]) == pytest.approx(float(case.exact["loss"]), rel=1e-6)


def test_gradient_norms_are_the_references(case):
    for path, norm in group(case.exact, "gradnorm").items():
        found = np.linalg.norm(case.found["grad:" + path].astype(np.float64))
        assert found == pytest.approx(float(norm), rel=GRADIENT_NORM), path


def test_gradients_lie_as_the_references(case):
    norms = group(case.exact, "gradnorm")
    for path, dot in group(case.exact, "graddot").items():
        gradient = case.found["grad:" + path].astype(np.float64)
        seed = zlib.crc32(path.encode()) & 0xFFFFFFFF
        found = np.sum(gradient * np.random.RandomState(seed).standard_normal(gradient.shape))
        assert abs(found - dot) < GRADIENT_DOT * (abs(float(dot)) + float(norms[path])), path
