"""The baseline computes what the reference computes, so a ratio to it means something.

On TensorFlow 2 the baseline is eager, which the runtime adapter switches off for its whole process:
it runs in one of its own, python benchmarks/slot_attention/test_baseline.py TASK IN OUT.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

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


@pytest.mark.parametrize(
    "task", [pytest.param("object_discovery", marks=pytest.mark.slow), "set_prediction"]
)
def test_weights_outputs_loss_and_gradients_are_the_references(task, tmp_path):
    stem = "slot_attention_" + NAMES[task]
    stored = load_either(FIXTURES / (stem + "_public"))
    exact = load(FIXTURES / (stem + "_f64ref_public.npz"))
    np.savez(str(tmp_path / "in.npz"), **stored)
    words = [sys.executable, __file__, task, tmp_path / "in.npz", tmp_path / "out.npz"]
    environment = dict(os.environ, PYTHONPATH=str(CHECKOUT))
    subprocess.run(words, cwd=str(CHECKOUT), env=environment, check=True)
    found = load(tmp_path / "out.npz")
    assert int(found["count"]) == len(group(stored, "w"))
    assert float(found["loss"]) == pytest.approx(float(exact["loss"]), rel=1e-6)
    norms, dots = group(exact, "gradnorm"), group(exact, "graddot")
    for path in set(norms) - {WITHOUT_GRADIENT}:
        gradient = found["grad:" + path].astype(np.float64)
        norm, dot = float(norms[path]), float(dots[path])
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=GRADIENT_NORM), path
        distance = abs(np.sum(gradient * dot_vector(path, gradient.shape)) - dot)
        assert distance < GRADIENT_DOT * (abs(dot) + norm), path
    if task == "set_prediction":
        assert np.abs(found["predictions"] - exact["predictions"]).max() < PREDICTIONS
        return
    assert np.abs(found["slots"] - exact["slots"]).max() < SLOTS
    assert np.abs(found["masks"][SAMPLED] - stored["masks"]).max() < MASKS
    assert np.abs(found["combined"][SAMPLED] - stored["recon_combined"]).max() < RECONSTRUCTION


def weight_at(network: Any, path: str) -> Any:
    """The weight with the reference's name, such as "mlp/layer_with_weights-0/kernel"."""
    found = network if hasattr(network, path.split("/")[0]) else network.encoder
    for part in path.split("/"):
        if part.startswith("layer_with_weights-"):
            found = [layer for layer in found.layers if layer.weights][int(part.split("-")[1])]
        else:
            found = getattr(found, part)
    return found


def run(task: str, stored: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Outputs, loss and gradients for the fixture's inputs, weights and noise."""
    import tensorflow as tf

    from benchmarks.slot_attention import baseline

    network = baseline.build_network(task)
    batch = {name: tf.constant(stored[name]) for name in ("image", "target") if name in stored}
    noise = tf.constant(stored["noise"])
    network(batch["image"], noise)  # makes the weights
    weights = {path: weight_at(network, path) for path in group(stored, "w")}
    values = [(weights[path], value) for path, value in group(stored, "w").items()]

    def compute() -> Any:
        with tf.GradientTape() as tape:
            loss = baseline.loss_of(task, network, batch, noise)
        outputs = tf.nest.flatten(network(batch["image"], noise))
        gradients_of = tape.gradient if baseline.EAGER else tf.gradients
        return [*outputs, loss, *gradients_of(loss, list(weights.values()))]

    if baseline.EAGER:
        for variable, value in values:
            variable.assign(value)
        found = [tensor.numpy() for tensor in compute()]
    else:
        fetches = compute()
        with tf.compat.v1.Session() as session:
            session.run([variable.assign(value) for variable, value in values])
            found = session.run(fetches)
    is_discovery = task == baseline.OBJECT_DISCOVERY
    names = ("combined", "masks", "slots") if is_discovery else ("predictions",)
    count = np.array(len(network.trainable_weights))
    gradients = ["grad:" + path for path in weights]
    return dict(zip((*names, "loss", *gradients), found), count=count)


if __name__ == "__main__":
    np.savez(sys.argv[3], **run(sys.argv[1], load(sys.argv[2])))
