"""The baseline computes what the reference computes, so a ratio to it means something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, NamedTuple

import numpy as np
import pytest

from tests.fixtures.packed_arrays import dot_vector, group, load, load_either

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]

CHECKOUT = Path(__file__).resolve().parents[2]
FIXTURES = CHECKOUT / "tests" / "fixtures" / "slot_attention"
NAMES = {"object_discovery": "autoencoder", "set_prediction": "classifier"}
# Three times the distances observed between correct implementations.
SLOTS, MASKS, RECONSTRUCTION, PREDICTIONS = 1.5e-5, 4.8e-6, 3e-6, 1.2e-6
GRADIENT_NORM, GRADIENT_DOT = 2.4e-4, 6e-4
# Its true gradient is zero (softmax over slots ignores a shift): what is computed is noise.
WITHOUT_GRADIENT = "slot_attention/norm_slots/beta"
SAMPLED = (..., slice(None, None, 4), slice(None, None, 4), slice(None))


class Case(NamedTuple):
    """What the baseline found, and what the reference gave in float32 and in float64."""

    found: Dict[str, np.ndarray]
    stored: Dict[str, np.ndarray]
    exact: Dict[str, np.ndarray]


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
    words = [sys.executable, "-m", "benchmarks.slot_attention.fixture_run", request.param]
    environment = dict(os.environ, PYTHONPATH=str(CHECKOUT))
    subprocess.run([*words, fixture, output], cwd=str(CHECKOUT), env=environment, check=True)
    return Case(load(output), stored, load(FIXTURES / (stem + "_f64ref_public.npz")))


def test_every_weight_of_the_baseline_is_one_of_the_references(case):
    assert int(case.found["count"]) == len(group(case.stored, "w"))


def test_outputs_and_loss_are_the_references(case):
    found, exact, stored = case.found, case.exact, case.stored
    assert float(found["loss"]) == pytest.approx(float(exact["loss"]), rel=1e-6)
    if "predictions" in found:
        assert np.abs(found["predictions"] - exact["predictions"]).max() < PREDICTIONS
        return
    assert np.abs(found["slots"] - exact["slots"]).max() < SLOTS
    assert np.abs(found["masks"][SAMPLED] - stored["masks"]).max() < MASKS
    assert np.abs(found["combined"][SAMPLED] - stored["recon_combined"]).max() < RECONSTRUCTION


def test_gradients_are_the_references(case):
    norms, dots = group(case.exact, "gradnorm"), group(case.exact, "graddot")
    for path in set(norms) - {WITHOUT_GRADIENT}:
        gradient = case.found["grad:" + path].astype(np.float64)
        norm, dot = float(norms[path]), float(dots[path])
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=GRADIENT_NORM), path
        found = np.sum(gradient * dot_vector(path, gradient.shape))
        assert abs(found - dot) < GRADIENT_DOT * (abs(dot) + norm), path
